#include "server/rpc/request_check.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "flashcore/v1/attention.pb.h"
#include "server/rpc/wire_reader.h"
#include "tests/server/rpc/bad_requests.h"

namespace flashcore {
namespace {

using testing::BadRequest;
using testing::BadRequests;
using testing::ValidRequest;

absl::StatusOr<CheckedRequest> Check(const std::string& bytes) {
  const absl::string_view chunk = bytes;
  WireRequest request;
  if (absl::Status status = ReadAttendRequest({&chunk, 1}, request); !status.ok()) return status;
  return CheckRequest(request);
}

absl::StatusOr<CheckedRequest> Check(const v1::AttendRequest& request) { return Check(request.SerializeAsString()); }

class BadRequestTest : public ::testing::TestWithParam<BadRequest> {};

TEST_P(BadRequestTest, IsRefusedWithTheFieldAndTheRemedy) {
  const BadRequest& bad = GetParam();
  const absl::Status status = Check(bad.bytes).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StartsWith(status.message(), absl::StrCat(bad.path, ": got "))) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), bad.remedy)) << status;
}

INSTANTIATE_TEST_SUITE_P(All, BadRequestTest, ::testing::ValuesIn(BadRequests()),
                         [](const auto& row) { return row.param.name; });

TEST(RequestCheck, Priorities) {
  const struct {
    v1::Priority on_wire;
    Priority expected;
  } rows[] = {{v1::PRIORITY_UNSPECIFIED, Priority::kNormal},
              {v1::PRIORITY_LOW, Priority::kLow},
              {v1::PRIORITY_NORMAL, Priority::kNormal},
              {v1::PRIORITY_HIGH, Priority::kHigh}};
  for (const auto& row : rows) {
    v1::AttendRequest request = ValidRequest();
    request.set_priority(row.on_wire);
    const absl::StatusOr<CheckedRequest> checked = Check(request);
    ASSERT_TRUE(checked.ok()) << checked.status();
    EXPECT_EQ(checked->priority, row.expected) << row.on_wire;
  }
}

TEST(RequestCheck, FillsTheProblem) {
  v1::AttendRequest request = ValidRequest(v1::DTYPE_FP16);
  request.mutable_options()->set_causal(true);
  request.mutable_options()->set_return_lse(true);
  request.mutable_options()->set_logits_soft_cap(30.0f);
  request.mutable_options()->set_window_right(3);
  const absl::StatusOr<CheckedRequest> checked = Check(request);
  ASSERT_TRUE(checked.ok()) << checked.status();
  const AttentionProblem& problem = checked->problem;
  EXPECT_EQ(problem.dtype, DType::kFloat16);
  EXPECT_EQ(problem.batch, 1);
  EXPECT_EQ(problem.num_qo_heads, 4);
  EXPECT_EQ(problem.num_kv_heads, 2);
  EXPECT_EQ(problem.q_len, 8);
  EXPECT_EQ(problem.kv_len, 16);
  EXPECT_EQ(problem.head_dim, 16);
  EXPECT_TRUE(problem.options.causal);
  EXPECT_EQ(problem.options.sm_scale, 0.25f);
  EXPECT_EQ(problem.options.logits_soft_cap, 30.0f);
  EXPECT_EQ(problem.options.window_left, -1);
  EXPECT_EQ(problem.options.window_right, 3);
  EXPECT_TRUE(checked->return_lse);
  EXPECT_EQ(checked->q.length_bytes, 4u * 8 * 16 * 2);
}

TEST(RequestCheck, ReadsEachTensorInItsOwnLayout) {
  v1::AttendRequest request = ValidRequest();
  request.mutable_k()->set_layout(v1::LAYOUT_BSHD);
  *request.mutable_k()->mutable_shape() = {};
  for (const int64_t dimension : {1, 16, 2, 16}) request.mutable_k()->add_shape(dimension);
  const absl::StatusOr<CheckedRequest> checked = Check(request);
  ASSERT_TRUE(checked.ok()) << checked.status();
  EXPECT_EQ(checked->problem.kv_len, 16);
  EXPECT_EQ(checked->problem.num_kv_heads, 2);
  EXPECT_EQ(checked->problem.k_strides.row, 2 * 16);
  EXPECT_EQ(checked->problem.k_strides.head, 16);
  EXPECT_EQ(checked->problem.v_strides.row, 16);
  EXPECT_EQ(checked->problem.v_strides.head, 16 * 16);
  EXPECT_EQ(checked->q_layout, TensorLayout::kBhsd);
}

TEST(RequestCheck, CutsWindowsThatReachPastEveryKey) {
  v1::AttendRequest request = ValidRequest();
  request.mutable_options()->set_window_left(std::numeric_limits<int64_t>::max());
  request.mutable_options()->set_window_right(std::numeric_limits<int64_t>::max());
  const absl::StatusOr<CheckedRequest> checked = Check(request);
  ASSERT_TRUE(checked.ok()) << checked.status();
  EXPECT_EQ(checked->problem.options.window_left, 8 + 16);
  EXPECT_EQ(checked->problem.options.window_right, 8 + 16);
}

TEST(RequestCheck, TakesEveryHeadDimOfTheContract) {
  for (int64_t head_dim = kMinHeadDim; head_dim <= kMaxHeadDim; head_dim += kHeadDimMultiple) {
    v1::AttendRequest request = ValidRequest();
    for (v1::Tensor* tensor : {request.mutable_q(), request.mutable_k(), request.mutable_v()}) {
      tensor->set_shape(3, head_dim);
      tensor->mutable_data()->resize(static_cast<size_t>(tensor->shape(1) * tensor->shape(2) * head_dim) *
                                     sizeof(float));
    }
    EXPECT_TRUE(Check(request).ok()) << "head_dim " << head_dim;
  }
}

}  // namespace
}  // namespace flashcore
