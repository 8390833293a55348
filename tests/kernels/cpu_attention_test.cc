// The cpu backend against the reference: the founding cases and the grid of problems that find bugs, on every
// instruction set that this machine has.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "hwy/targets.h"
#include "kernels/backends.h"
#include "tests/kernels/grid.h"
#include "tests/kernels/harness.h"

namespace flashcore::testing {
namespace {

constexpr int kThreads = 2;

std::unique_ptr<AttentionBackend> MakeBackend() { return CreateCpuBackend(kThreads).value(); }

std::string CaseName(const ::testing::TestParamInfo<GridCase>& info) { return info.param.name; }

class CpuAttentionTest : public ::testing::TestWithParam<GridCase> {
 protected:
  static void ExpectCaseCorrect() {
    const std::unique_ptr<AttentionBackend> backend = MakeBackend();
    ExpectCorrect(HostRunner(*backend), GetParam().specs);
  }
};

TEST_P(CpuAttentionTest, MatchesReference) { ExpectCaseCorrect(); }

INSTANTIATE_TEST_SUITE_P(FoundingFp32, CpuAttentionTest, ::testing::ValuesIn(FoundingGrid(DType::kFloat32)), CaseName);
INSTANTIATE_TEST_SUITE_P(FoundingFp16, CpuAttentionTest, ::testing::ValuesIn(FoundingGrid(DType::kFloat16)), CaseName);
INSTANTIATE_TEST_SUITE_P(BugsFp32, CpuAttentionTest, ::testing::ValuesIn(BugGrid(DType::kFloat32)), CaseName);
INSTANTIATE_TEST_SUITE_P(BugsFp16, CpuAttentionTest, ::testing::ValuesIn(BugGrid(DType::kFloat16)), CaseName);
INSTANTIATE_TEST_SUITE_P(BugsBf16, CpuAttentionTest, ::testing::ValuesIn(BugGrid(DType::kBFloat16)), CaseName);

// With the best instruction set, the next best, and so on down to the baseline.
TEST(CpuAttentionTargetsTest, EveryInstructionSetMatchesReference) {
  const int64_t supported = hwy::SupportedTargets();
  std::vector<std::string> kernels;
  for (int64_t allowed = supported; allowed != 0; allowed &= allowed - 1) {
    hwy::SetSupportedTargetsForTest(allowed);
    const std::unique_ptr<AttentionBackend> backend = MakeBackend();
    hwy::SetSupportedTargetsForTest(0);
    if (!kernels.empty() && kernels.back() == backend->info().kernel) continue;
    kernels.push_back(backend->info().kernel);
    SCOPED_TRACE(kernels.back());
    for (const DType dtype : {DType::kFloat32, DType::kFloat16, DType::kBFloat16}) {
      for (const GridCase& grid_case : BugGrid(dtype)) {
        std::vector<ProblemSpec> some;
        constexpr size_t kEvery = 5;
        for (size_t i = 0; i < grid_case.specs.size(); i += kEvery) some.push_back(grid_case.specs[i]);
        ExpectCorrect(HostRunner(*backend), some);
      }
    }
  }
  for (const std::string& kernel : kernels) std::cout << "checked " << kernel << "\n";
  EXPECT_GE(kernels.size(), 1u);
}

}  // namespace
}  // namespace flashcore::testing
