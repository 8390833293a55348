#include "tests/kernels/harness.h"

#include <gtest/gtest.h>

#include "kernels/backends.h"

namespace flashcore::testing {
namespace {

TEST(HarnessTest, AcceptsTheReferenceItself) {
  const std::unique_ptr<AttentionBackend> reference = CreateReferenceBackend();
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32}) {
    for (const Layout layout : {Layout::kBhsd, Layout::kBshd}) {
      ProblemSpec spec{.dtype = dtype, .batch = 2, .num_qo_heads = 4, .num_kv_heads = 2, .q_len = 17, .kv_len = 23};
      spec.options.causal = true;
      spec.layout = layout;
      spec.row_gap = 3;
      spec.head_gap = 5;
      ExpectCorrect(HostRunner(*reference), {spec, spec});
    }
  }
}

TEST(HarnessTest, SeesAWrongElement) {
  const std::unique_ptr<AttentionBackend> reference = CreateReferenceBackend();
  HostProblem problem(ProblemSpec{.dtype = DType::kFloat16, .q_len = 9});
  HostProblem* batch[] = {&problem};
  ASSERT_TRUE(HostRunner(*reference)(batch).ok());
  const Expected expected = ComputeExpected(problem);
  EXPECT_TRUE(Matches(problem, expected));
  static_cast<uint16_t*>(problem.o().data())[problem.o().bytes() / sizeof(uint16_t) - 1] ^= 0x40;
  EXPECT_FALSE(Matches(problem, expected));
}

TEST(HarnessTest, SeesAWriteOutsideTheOutput) {
  const std::unique_ptr<AttentionBackend> reference = CreateReferenceBackend();
  HostProblem problem(ProblemSpec{.q_len = 9, .row_gap = 1});
  HostProblem* batch[] = {&problem};
  ASSERT_TRUE(HostRunner(*reference)(batch).ok());
  EXPECT_TRUE(problem.GuardsIntact());
  const int64_t first_gap = problem.spec().head_dim;
  static_cast<float*>(problem.o().data())[first_gap] = 0.0f;
  EXPECT_FALSE(problem.GuardsIntact());
}

TEST(HarnessTest, SeesAnOutputThatWasNotWritten) {
  HostProblem problem(ProblemSpec{.q_len = 9});
  EXPECT_FALSE(Matches(problem, ComputeExpected(problem)));
}

}  // namespace
}  // namespace flashcore::testing
