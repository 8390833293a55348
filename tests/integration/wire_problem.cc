#include "tests/integration/wire_problem.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "server/rpc/wire_types.h"

namespace flashcore::testing {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // And so ten times slower.
#else
constexpr bool kSanitized = false;
#endif

std::vector<int64_t> WireShape(const ProblemSpec& spec, int64_t heads, int64_t rows) {
  if (spec.layout == Layout::kBhsd) return {spec.batch, heads, rows, spec.head_dim};
  return {spec.batch, rows, heads, spec.head_dim};
}

void FillTensor(const ProblemSpec& spec, const std::vector<int64_t>& shape, const GuardedBuffer& buffer,
                v1::Tensor& tensor) {
  tensor.set_dtype(ToWire(spec.dtype));
  tensor.set_layout(spec.layout == Layout::kBhsd ? v1::LAYOUT_BHSD : v1::LAYOUT_BSHD);
  tensor.mutable_shape()->Assign(shape.begin(), shape.end());
  tensor.set_data(buffer.data(), buffer.bytes());
}

void CopyInto(const v1::Tensor& tensor, GuardedBuffer& buffer) {
  ASSERT_EQ(tensor.data().size(), buffer.bytes());
  std::memcpy(buffer.data(), tensor.data().data(), buffer.bytes());
}

std::vector<int64_t> ShapeOf(const v1::Tensor& tensor) { return {tensor.shape().begin(), tensor.shape().end()}; }

void ExpectPlausible(const v1::Timing& timing) {
  EXPECT_GT(timing.receive_ns(), 0);
  EXPECT_GT(timing.compute_ns(), 0);
  EXPECT_GE(timing.batch_size(), 1);
  EXPECT_FALSE(timing.kernel().empty());
  const int64_t stages_ns = timing.receive_ns() + timing.admit_ns() + timing.stage_ns() + timing.queue_ns() +
                            timing.upload_ns() + timing.compute_ns() + timing.download_ns();
  EXPECT_LE(stages_ns, timing.total_ns());
}

}  // namespace

v1::AttendRequest ToRequest(const ProblemSpec& spec) {
  HostProblem host(spec);
  const AttentionProblem problem = host.Describe();
  v1::AttendRequest request;
  const std::vector<int64_t> kv_shape = WireShape(spec, problem.num_kv_heads, problem.kv_len);
  FillTensor(spec, WireShape(spec, problem.num_qo_heads, problem.q_len), host.q(), *request.mutable_q());
  FillTensor(spec, kv_shape, host.k(), *request.mutable_k());
  FillTensor(spec, kv_shape, host.v(), *request.mutable_v());
  v1::AttentionOptions& options = *request.mutable_options();
  options.set_causal(spec.options.causal);
  if (spec.options.sm_scale != 0) options.set_sm_scale(spec.options.sm_scale);
  options.set_logits_soft_cap(spec.options.logits_soft_cap);
  options.set_window_left(spec.options.window_left);
  options.set_window_right(spec.options.window_right);
  options.set_return_lse(spec.return_lse);
  return request;
}

void ExpectAnswers(const v1::AttendResponse& response, const ProblemSpec& spec) {
  SCOPED_TRACE(ToString(spec));
  HostProblem host(spec);
  const AttentionProblem problem = host.Describe();
  EXPECT_EQ(response.o().dtype(), ToWire(spec.dtype));
  EXPECT_EQ(response.o().layout(), spec.layout == Layout::kBhsd ? v1::LAYOUT_BHSD : v1::LAYOUT_BSHD);
  EXPECT_EQ(ShapeOf(response.o()), WireShape(spec, problem.num_qo_heads, problem.q_len));
  CopyInto(response.o(), host.o());
  ASSERT_EQ(response.has_lse(), spec.return_lse);
  if (spec.return_lse) {
    EXPECT_EQ(response.lse().dtype(), v1::DTYPE_FP32);
    EXPECT_EQ(ShapeOf(response.lse()), (std::vector<int64_t>{spec.batch, problem.num_qo_heads, problem.q_len}));
    CopyInto(response.lse(), host.lse());
  }
  EXPECT_TRUE(Matches(host, ComputeExpected(host)));
  ExpectPlausible(response.timing());
}

ProblemSpec SlowSpec() {
  // A window leaves the tensors as large as they are and the work a fraction of it.
  const int64_t window_left = kSanitized ? 100 : -1;
  return {.dtype = DType::kFloat32,
          .num_qo_heads = 4,
          .q_len = 1024,
          .kv_len = 1024,
          .head_dim = 128,
          .options = {.causal = kSanitized, .window_left = window_left}};
}

}  // namespace flashcore::testing
