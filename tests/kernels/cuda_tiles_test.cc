// Every tile configuration of the fused kernels, with and without splits and on both grids, whatever a plan would
// choose; every kernel of the ladder in a slice of the device. Small problems: this is also what compute-sanitizer
// runs.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "bench/kernel/device_slice.h"
#include "kernels/attention.h"
#include "kernels/backends.h"
#include "kernels/cuda/fused_launch.h"
#include "kernels/cuda/fused_plan.h"
#include "kernels/cuda/kernel_table.h"
#include "kernels/cuda/runtime.h"
#include "tests/kernels/cuda_runner.h"
#include "tests/kernels/harness.h"

namespace flashcore::testing {
namespace {

constexpr cuda::DeviceLimits kLimits = {.multiprocessors = 58, .l2_bytes = int64_t{48} << 20};

// Why there is nothing to test on; empty: there is a device.
std::string NoDevice() {
  const auto backend = CreateCudaBackend(/*device_ordinal=*/0, "scalar");
  return absl::IsUnavailable(backend.status()) ? std::string(backend.status().message()) : "";
}

// A few rows that share many keys, an odd corner of a tile, rows without keys, a window, two sequences of one tile.
std::vector<ProblemSpec> SmallBatch(DType dtype, int64_t head_dim) {
  std::vector<ProblemSpec> specs = {
      {.dtype = dtype, .num_qo_heads = 4, .num_kv_heads = 1, .q_len = 3, .kv_len = 515},
      {.dtype = dtype, .num_qo_heads = 2, .q_len = 139, .kv_len = 197},
      {.dtype = dtype, .q_len = 40, .kv_len = 24},
      {.dtype = dtype, .num_qo_heads = 2, .num_kv_heads = 1, .q_len = 35, .kv_len = 300, .layout = Layout::kBshd},
      {.dtype = dtype, .batch = 2, .q_len = 17, .kv_len = 64, .return_lse = false}};
  specs[1].options.causal = true;
  specs[2].options.causal = true;
  specs[3].options.window_left = 50;
  specs[3].options.logits_soft_cap = 20.0F;
  for (ProblemSpec& spec : specs) spec.head_dim = head_dim;
  return specs;
}

// Problems with what should come of them, to be run several times over.
class CheckedBatch {
 public:
  explicit CheckedBatch(const std::vector<ProblemSpec>& specs) {
    for (const ProblemSpec& spec : specs) {
      owned_.push_back(std::make_unique<HostProblem>(spec));
      problems_.push_back(owned_.back().get());
      expected_.push_back(ComputeExpected(*owned_.back()));
    }
  }

  void ExpectCorrect(const Runner& runner) {
    for (HostProblem* problem : problems_) problem->PoisonOutputs();
    const absl::Status status = runner(problems_);
    ASSERT_TRUE(status.ok()) << status;
    for (size_t i = 0; i < problems_.size(); ++i) EXPECT_TRUE(Matches(*problems_[i], expected_[i]));
  }

  // As after the last run.
  void ExpectTheSameBitsAlone(const Runner& runner) {
    for (HostProblem* problem : problems_) {
      const std::vector<std::byte> together = problem->OutputBits();
      problem->PoisonOutputs();
      const absl::Status status = runner({&problem, 1});
      ASSERT_TRUE(status.ok()) << status;
      EXPECT_EQ(problem->OutputBits(), together) << ToString(problem->spec());
    }
  }

 private:
  std::vector<std::unique_ptr<HostProblem>> owned_;
  std::vector<HostProblem*> problems_;
  std::vector<Expected> expected_;
};

Runner FusedRunner(cuda::FusedLauncher& launcher) {
  return [&launcher](absl::Span<HostProblem* const> problems) {
    DeviceBatch batch(problems);
    absl::Status status = batch.status();
    if (status.ok()) status = launcher.Launch(batch.problems(), /*stream=*/nullptr).status();
    if (!status.ok()) return status;
    batch.Download();
    return batch.status();
  };
}

// The parameters are the head_dim and the elements' type.
class CudaTilesTest : public ::testing::TestWithParam<std::tuple<int, DType>> {};

TEST_P(CudaTilesTest, EveryKindOfTileIsRight) {
  if (const std::string reason = NoDevice(); !reason.empty()) GTEST_SKIP() << reason;
  const auto [head_dim, dtype] = GetParam();
  ASSERT_TRUE(cuda::FusedLauncher::Load().ok());
  CheckedBatch batch(SmallBatch(dtype, head_dim));
  for (int kind = 0; kind < cuda::kTileKinds; ++kind) {
    for (const int ctas_per_sm : {0, 1}) {
      for (const cuda::GridKind grid : {cuda::GridKind::kTiles, cuda::GridKind::kPersistent}) {
        SCOPED_TRACE(::testing::Message() << "kind " << kind << ", " << (ctas_per_sm == 0 ? "whole" : "split")
                                          << ", grid " << static_cast<int>(grid));
        const cuda::FusedChoice choice = {static_cast<cuda::TileKind>(kind),
                                          {.ctas_per_sm = ctas_per_sm, .min_keys = 64}};
        const auto planner = [&choice](const AttentionProblem& p) { return PlanFusedAs(p, kLimits, choice); };
        cuda::FusedLauncher launcher(kLimits, grid, planner);
        batch.ExpectCorrect(FusedRunner(launcher));
      }
    }
  }
}

// Among them tiles that are all alike, as they are where a plan makes a tail of the last ones.
std::vector<ProblemSpec> TailBatch(DType dtype, int64_t head_dim) {
  std::vector<ProblemSpec> specs = SmallBatch(dtype, head_dim);
  specs.push_back({.dtype = dtype, .num_qo_heads = 6, .num_kv_heads = 2, .q_len = 139, .kv_len = 515});
  specs.push_back({.dtype = dtype, .batch = 2, .num_qo_heads = 2, .q_len = 270, .kv_len = 300, .return_lse = false});
  for (ProblemSpec& spec : specs) spec.head_dim = head_dim;
  return specs;
}

TEST_P(CudaTilesTest, TheLastTilesMaySplitAlone) {
  if (const std::string reason = NoDevice(); !reason.empty()) GTEST_SKIP() << reason;
  const auto [head_dim, dtype] = GetParam();
  ASSERT_TRUE(cuda::FusedLauncher::Load().ok());
  CheckedBatch batch(TailBatch(dtype, head_dim));
  for (int kind = 0; kind < cuda::kTileKinds; ++kind) {
    for (const cuda::GridKind grid : {cuda::GridKind::kTiles, cuda::GridKind::kPersistent}) {
      SCOPED_TRACE(::testing::Message() << "kind " << kind << ", grid " << static_cast<int>(grid));
      int tails = 0;
      const auto planner = [kind, &tails](const AttentionProblem& p) {
        const int64_t tiles = PlanFusedWith(p, kLimits, static_cast<cuda::TileKind>(kind), 1).tiles();
        const cuda::FusedPlan plan = PlanFusedWith(p, kLimits, static_cast<cuda::TileKind>(kind), 3, tiles / 2);
        tails += plan.whole_tiles > 0 ? 1 : 0;
        return plan;
      };
      cuda::FusedLauncher launcher(kLimits, grid, planner);
      batch.ExpectCorrect(FusedRunner(launcher));
      EXPECT_GE(tails, 2);
      batch.ExpectTheSameBitsAlone(FusedRunner(launcher));
    }
  }
}

// Native, and one that is padded to it.
INSTANTIATE_TEST_SUITE_P(HeadDims, CudaTilesTest,
                         ::testing::Combine(::testing::Values(32, 64, 96, 128, 192, 256, 24, 40, 88, 120, 136, 208),
                                            ::testing::Values(DType::kFloat16, DType::kBFloat16)),
                         [](const auto& test) {
                           return std::string(Name(std::get<1>(test.param))) + "Of" +
                                  std::to_string(std::get<0>(test.param));
                         });

// The parameter is the kernel's name.
class CudaLadderTest : public ::testing::TestWithParam<std::string> {};

TEST_P(CudaLadderTest, ASmallMixedBatchIsRight) {
  const auto backend = CreateCudaBackend(/*device_ordinal=*/0, GetParam());
  if (absl::IsUnavailable(backend.status())) GTEST_SKIP() << backend.status().message();
  ASSERT_TRUE(backend.ok()) << backend.status();
  std::vector<ProblemSpec> specs;
  // The last two are for the scalar kernel, whichever the rung.
  for (const auto& [dtype, head_dim] : std::vector<std::pair<DType, int64_t>>{{DType::kFloat16, 64},
                                                                              {DType::kBFloat16, 128},
                                                                              {DType::kFloat16, 200},
                                                                              {DType::kFloat16, 61},
                                                                              {DType::kFloat32, 64}}) {
    for (const ProblemSpec& spec : SmallBatch(dtype, head_dim)) specs.push_back(spec);
  }
  CheckedBatch(specs).ExpectCorrect(DeviceRunner(**backend));
}

// A context is a thread's: the slice ends with this one.
void RunInSlice(const std::string& kernel, std::string& unavailable) {
  constexpr int kSliceSms = 16;
  int device_sms = 0;
  ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
  ASSERT_EQ(cudaDeviceGetAttribute(&device_sms, cudaDevAttrMultiProcessorCount, 0), cudaSuccess);
  EXPECT_EQ(cuda::UsableMultiprocessors(device_sms), device_sms);
  const absl::StatusOr<bench::DeviceSlice> slice = bench::DeviceSlice::Enter(0, kSliceSms);
  if (!slice.ok()) {
    unavailable = std::string(slice.status().message());
    return;
  }
  EXPECT_EQ(cuda::UsableMultiprocessors(device_sms), slice->sm_count());
  EXPECT_LT(slice->sm_count(), device_sms);
  const auto backend = CreateCudaBackend(/*device_ordinal=*/0, kernel);
  ASSERT_TRUE(backend.ok()) << backend.status();
  CheckedBatch(SmallBatch(DType::kFloat16, 64)).ExpectCorrect(DeviceRunner(**backend));
  EXPECT_TRUE(slice->CheckCurrent().ok()) << slice->CheckCurrent();
}

TEST_P(CudaLadderTest, PlansForTheSliceItIsMadeInAndStaysThere) {
  if (const std::string reason = NoDevice(); !reason.empty()) GTEST_SKIP() << reason;
  std::string unavailable;
  std::thread([&unavailable, kernel = GetParam()] { RunInSlice(kernel, unavailable); }).join();
  if (!unavailable.empty()) GTEST_SKIP() << unavailable;
}

std::vector<std::string> KernelNames() {
  std::vector<std::string> names;
  for (const cuda::Kernel& kernel : cuda::Kernels()) names.emplace_back(kernel.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Kernels, CudaLadderTest, ::testing::ValuesIn(KernelNames()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace flashcore::testing
