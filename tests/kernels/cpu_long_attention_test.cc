// The cpu backend on long sequences, where sums of many terms show their error.
#include <gtest/gtest.h>

#include <memory>

#include "kernels/backends.h"
#include "tests/kernels/grid.h"
#include "tests/kernels/harness.h"

namespace flashcore::testing {
namespace {

class CpuLongAttentionTest : public ::testing::TestWithParam<GridCase> {};

TEST_P(CpuLongAttentionTest, MatchesReference) {
  const std::unique_ptr<AttentionBackend> backend = CreateCpuBackend(2).value();
  ExpectCorrect(HostRunner(*backend), GetParam().specs);
}

std::string CaseName(const ::testing::TestParamInfo<GridCase>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Fp32, CpuLongAttentionTest, ::testing::ValuesIn(LongGrid(DType::kFloat32)), CaseName);
INSTANTIATE_TEST_SUITE_P(Fp16, CpuLongAttentionTest, ::testing::ValuesIn(LongGrid(DType::kFloat16)), CaseName);

}  // namespace
}  // namespace flashcore::testing
