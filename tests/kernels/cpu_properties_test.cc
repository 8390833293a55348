// What the cpu backend promises beyond being right: the same bits whatever runs beside it, and rows that keep to
// themselves.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <thread>
#include <vector>

#include "kernels/backends.h"
#include "tests/kernels/grid.h"
#include "tests/kernels/harness.h"

namespace flashcore::testing {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::unique_ptr<AttentionBackend> MakeBackend(int num_threads) { return CreateCpuBackend(num_threads).value(); }

std::vector<std::byte> RunAlone(AttentionBackend& backend, HostProblem& problem) {
  problem.PoisonOutputs();
  HostProblem* batch[] = {&problem};
  EXPECT_TRUE(HostRunner(backend)(batch).ok());
  return problem.OutputBits();
}

// Problems of every kind, small enough to run often.
std::vector<std::unique_ptr<HostProblem>> MixedProblems() {
  std::vector<std::unique_ptr<HostProblem>> problems;
  for (const DType dtype : {DType::kFloat32, DType::kFloat16, DType::kBFloat16}) {
    for (const GridCase& grid_case : BugGrid(dtype)) {
      // Two of each kind.
      problems.push_back(std::make_unique<HostProblem>(grid_case.specs.front()));
      problems.push_back(std::make_unique<HostProblem>(grid_case.specs.back()));
    }
  }
  return problems;
}

TEST(CpuPropertiesTest, SameBitsInEveryRun) {
  ProblemSpec spec;
  spec.dtype = DType::kFloat16;
  spec.num_qo_heads = 4;
  spec.num_kv_heads = 2;
  spec.q_len = 130;
  spec.kv_len = 200;
  spec.options.causal = true;
  HostProblem problem(spec);
  const auto backend = MakeBackend(4);
  const std::vector<std::byte> first = RunAlone(*backend, problem);
  constexpr int kRuns = 250;
  for (int run = 1; run < kRuns; ++run) ASSERT_EQ(RunAlone(*backend, problem), first) << "run " << run;
}

TEST(CpuPropertiesTest, SameBitsForEveryNumberOfThreads) {
  const auto problems = MixedProblems();
  const auto one = MakeBackend(1);
  const auto five = MakeBackend(5);
  for (const auto& problem : problems) {
    EXPECT_EQ(RunAlone(*one, *problem), RunAlone(*five, *problem)) << ToString(problem->spec());
  }
}

TEST(CpuPropertiesTest, SameBitsAloneAndInABatch) {
  const auto problems = MixedProblems();
  const auto backend = MakeBackend(3);
  std::vector<std::vector<std::byte>> alone;
  std::vector<HostProblem*> batch;
  for (const auto& problem : problems) {
    alone.push_back(RunAlone(*backend, *problem));
    problem->PoisonOutputs();
    batch.push_back(problem.get());
  }
  ASSERT_TRUE(HostRunner(*backend)(batch).ok());
  for (size_t i = 0; i < batch.size(); ++i) EXPECT_EQ(batch[i]->OutputBits(), alone[i]) << ToString(batch[i]->spec());
}

TEST(CpuPropertiesTest, FullBatchAndEmptyBatch) {
  const auto backend = MakeBackend(2);
  EXPECT_TRUE(backend->Launch({}, nullptr).ok());
  std::vector<ProblemSpec> specs(kMaxBatchProblems);
  for (size_t i = 0; i < specs.size(); ++i) {
    specs[i].q_len = static_cast<int64_t>(i % 20);
    specs[i].kv_len = static_cast<int64_t>(i % 33);
    specs[i].head_dim = 16;
    specs[i].seed = i;
  }
  ExpectCorrect(HostRunner(*backend), specs);
}

TEST(CpuPropertiesTest, SeveralThreadsMayLaunchAtOnce) {
  const auto backend = MakeBackend(3);
  constexpr int kCallers = 4;
  std::vector<std::thread> callers;
  for (int caller = 0; caller < kCallers; ++caller) {
    callers.emplace_back([&backend, caller] {
      ProblemSpec spec;
      spec.num_qo_heads = 2;
      spec.q_len = 100 + caller;
      spec.seed = static_cast<uint64_t>(caller);
      HostProblem problem(spec);
      const std::vector<std::byte> first = RunAlone(*backend, problem);
      EXPECT_TRUE(Matches(problem, ComputeExpected(problem)));
      constexpr int kRuns = 20;
      for (int run = 0; run < kRuns; ++run) EXPECT_EQ(RunAlone(*backend, problem), first);
    });
  }
  for (std::thread& caller : callers) caller.join();
}

// A broken value in one place must show there and nowhere else.
class CpuContainmentTest : public ::testing::TestWithParam<float> {
 protected:
  static ProblemSpec Spec() {
    ProblemSpec spec;
    spec.num_qo_heads = 4;
    spec.num_kv_heads = 2;
    spec.q_len = 100;
    spec.kv_len = 150;
    spec.options.causal = true;
    return spec;
  }

  // Runs and compares with the reference, which says where the result is broken and where not.
  static void ExpectContained(HostProblem& problem) {
    HostProblem* batch[] = {&problem};
    ASSERT_TRUE(HostRunner(*MakeBackend(2))(batch).ok());
    EXPECT_TRUE(Matches(problem, ComputeExpected(problem)));
  }
};

TEST_P(CpuContainmentTest, BrokenQueryBreaksItsRowOnly) {
  HostProblem problem(Spec());
  problem.SetQuery(0, 1, 37, 5, GetParam());
  ExpectContained(problem);
  EXPECT_FALSE(std::isfinite(problem.Output(0, 1, 37, 0)));
  EXPECT_TRUE(std::isfinite(problem.Output(0, 1, 36, 0)));
  EXPECT_TRUE(std::isfinite(problem.Output(0, 0, 37, 0)));
}

TEST_P(CpuContainmentTest, BrokenKeyBreaksTheRowsThatSeeIt) {
  HostProblem problem(Spec());
  problem.SetKey(0, 1, 120, 3, GetParam());
  ExpectContained(problem);
}

TEST_P(CpuContainmentTest, BrokenValueBreaksTheRowsThatSeeIt) {
  HostProblem problem(Spec());
  problem.SetValue(0, 0, 120, 3, GetParam());
  ExpectContained(problem);
  // Row r sees keys up to r + 50.
  EXPECT_FALSE(std::isfinite(problem.Output(0, 0, 70, 3)));
  EXPECT_TRUE(std::isfinite(problem.Output(0, 0, 70, 4)));
  EXPECT_TRUE(std::isfinite(problem.Output(0, 0, 69, 3)));
  EXPECT_TRUE(std::isfinite(problem.Output(0, 2, 70, 3)));
}

INSTANTIATE_TEST_SUITE_P(NotFinite, CpuContainmentTest, ::testing::Values(kNan, kInfinity, -kInfinity));

TEST(CpuPropertiesTest, OnePeakedRow) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat16, DType::kBFloat16}) {
    ProblemSpec spec;
    spec.dtype = dtype;
    spec.q_len = 80;
    spec.kv_len = 300;
    HostProblem problem(spec);
    constexpr float kPeak = 50.0f;
    for (int64_t d = 0; d < spec.head_dim; ++d) problem.SetQuery(0, 0, 41, d, kPeak * problem.Query(0, 0, 41, d));
    HostProblem* batch[] = {&problem};
    ASSERT_TRUE(HostRunner(*MakeBackend(2))(batch).ok());
    EXPECT_TRUE(Matches(problem, ComputeExpected(problem)));
  }
}

// Strides that reach past 2^31 elements; the pages in between are never touched.
TEST(CpuPropertiesTest, OffsetsPast32Bits) {
  ProblemSpec spec;
  spec.num_qo_heads = 2;
  spec.q_len = 5;
  spec.head_dim = 8;
  HostProblem compact(spec);
  const auto backend = MakeBackend(1);
  RunAlone(*backend, compact);

  constexpr int64_t kFar = (int64_t{1} << 31) + 64;
  const int64_t head_elements = spec.q_len * spec.head_dim;
  const std::unique_ptr<float, decltype(&std::free)> far(
      static_cast<float*>(std::calloc(static_cast<size_t>(kFar + head_elements), sizeof(float))), &std::free);
  if (far == nullptr) GTEST_SKIP() << "no address space for a tensor of more than 2^31 elements";
  AttentionProblem problem = compact.Describe();
  const auto* keys = static_cast<const float*>(problem.k);
  std::copy_n(keys, head_elements, far.get());
  std::copy_n(keys + problem.k_strides.head, head_elements, far.get() + kFar);
  problem.k = far.get();
  problem.k_strides.head = kFar;
  const std::vector<std::byte> expected = compact.OutputBits();
  compact.PoisonOutputs();
  ASSERT_TRUE(backend->Launch({&problem, 1}, nullptr).ok());
  EXPECT_EQ(compact.OutputBits(), expected);
}

}  // namespace
}  // namespace flashcore::testing
