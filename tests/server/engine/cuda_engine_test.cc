#include "server/engine/cuda_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "kernels/attention.h"
#include "server/engine/engine.h"
#include "tests/kernels/harness.h"
#include "tests/server/engine/staged_batch.h"

namespace flashcore {
namespace {

using testing::Layout;
using testing::ProblemSpec;
using testing::StagedBatch;

class CudaEngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    EngineOptions options;
    options.backend.backend = "cuda";
    options.arena_bytes = static_cast<int64_t>(kArenaBytes);
    options.max_batch_bytes = int64_t{32} << 20;
    options.lane_poll_ns = 1'000'000;
    auto engines = CreateEngines(options);
    if (absl::IsUnavailable(engines.status())) GTEST_SKIP() << engines.status().message();
    ASSERT_TRUE(engines.ok()) << engines.status();
    engine_ = std::move(engines->front());
  }

  static constexpr size_t kArenaBytes = size_t{64} << 20;

  std::unique_ptr<Lane> MakeLane() {
    auto lane = engine_->CreateLane();
    EXPECT_TRUE(lane.ok()) << lane.status();
    return *std::move(lane);
  }

  std::unique_ptr<Engine> engine_;
};

// Shapes, dtypes, layouts and options that differ from problem to problem.
std::vector<ProblemSpec> MixedBatch(size_t problems, uint64_t seed) {
  constexpr DType kDTypes[] = {DType::kFloat16, DType::kBFloat16, DType::kFloat32};
  std::vector<ProblemSpec> specs;
  for (size_t i = 0; i < problems; ++i) {
    const auto n = static_cast<int64_t>(i + seed);
    ProblemSpec spec{.dtype = kDTypes[i % 3],
                     .batch = 1 + n % 2,
                     .num_qo_heads = 4,
                     .num_kv_heads = n % 3 == 0 ? 4 : 2,
                     .q_len = (n * 11) % 70,
                     .kv_len = (n * 17) % 130,
                     .head_dim = 8 * (1 + n % 16),
                     .layout = n % 2 == 0 ? Layout::kBhsd : Layout::kBshd,
                     .return_lse = n % 4 != 0,
                     .seed = seed + i};
    spec.options.causal = n % 3 == 1;
    specs.push_back(spec);
  }
  return specs;
}

TEST_F(CudaEngineTest, StagesInPageLockedMemoryOfTheSizeAskedFor) {
  EXPECT_EQ(engine_->backend().info().backend, "cuda");
  EXPECT_EQ(engine_->arena()->capacity_bytes(), kArenaBytes);
}

TEST_F(CudaEngineTest, SmallTensorsAreNotCopied) {
  const auto lane = MakeLane();
  StagedBatch batch(*engine_->arena(), {ProblemSpec{.dtype = DType::kFloat16, .q_len = 21, .head_dim = 8},
                                        ProblemSpec{.q_len = 5, .kv_len = 9, .layout = Layout::kBshd},
                                        ProblemSpec{.dtype = DType::kBFloat16, .q_len = 1, .kv_len = 70}});
  StageTimes times;
  times[Stage::kUpload] = times[Stage::kDownload] = -1;
  const absl::Status status = lane->Run(batch.problems(), times);
  ASSERT_TRUE(status.ok()) << status;
  batch.ExpectCorrect();
  EXPECT_EQ(times[Stage::kUpload], 0);
  EXPECT_GT(times[Stage::kCompute], 0);
  EXPECT_EQ(times[Stage::kDownload], 0);
}

TEST_F(CudaEngineTest, OutputsAloneMayStayInHostMemory) {
  const auto lane = MakeLane();
  StagedBatch batch(*engine_->arena(), {ProblemSpec{.q_len = 3, .kv_len = 2048, .head_dim = 64}});
  StageTimes times;
  const absl::Status status = lane->Run(batch.problems(), times);
  ASSERT_TRUE(status.ok()) << status;
  batch.ExpectCorrect();
  EXPECT_GT(times[Stage::kUpload], 0);
  EXPECT_EQ(times[Stage::kDownload], 0);
}

TEST_F(CudaEngineTest, ALaneCarriesABatchThereAndBack) {
  const auto lane = MakeLane();
  std::vector<ProblemSpec> specs = MixedBatch(9, 3);
  specs.push_back({.num_qo_heads = 8, .num_kv_heads = 8, .q_len = 1100, .kv_len = 5, .head_dim = 64});
  StagedBatch batch(*engine_->arena(), specs);
  StageTimes times;
  const absl::Status status = lane->Run(batch.problems(), times);
  ASSERT_TRUE(status.ok()) << status;
  batch.ExpectCorrect();
  EXPECT_GT(times[Stage::kUpload], 0);
  EXPECT_GT(times[Stage::kCompute], 0);
  EXPECT_GT(times[Stage::kDownload], 0);
  EXPECT_EQ(times[Stage::kQueue], 0);
}

TEST_F(CudaEngineTest, AFullBatchFits) {
  const auto lane = MakeLane();
  StagedBatch batch(*engine_->arena(), MixedBatch(kMaxBatchProblems, 1));
  StageTimes times;
  const absl::Status status = lane->Run(batch.problems(), times);
  ASSERT_TRUE(status.ok()) << status;
  batch.ExpectCorrect();
}

// Many small tensors take more room on the device, each rounded up, than their bytes.
TEST_F(CudaEngineTest, PaddingDoesNotCountAgainstTheBatch) {
  const std::vector<ProblemSpec> specs(kMaxBatchProblems, {.q_len = 1, .head_dim = 1});
  constexpr int64_t kBytesPerProblem = 5 * sizeof(float);  // Q, K, V, O, LSE.
  EngineOptions options;
  options.backend.backend = "cuda";
  options.arena_bytes = int64_t{1} << 20;
  options.max_batch_bytes = static_cast<int64_t>(specs.size()) * kBytesPerProblem;
  const auto engines = CreateEngines(options);
  ASSERT_TRUE(engines.ok()) << engines.status();
  Engine& engine = *engines->front();
  const auto lane = engine.CreateLane();
  ASSERT_TRUE(lane.ok()) << lane.status();
  StagedBatch batch(*engine.arena(), specs);
  StageTimes times;
  const absl::Status status = (*lane)->Run(batch.problems(), times);
  ASSERT_TRUE(status.ok()) << status;
  batch.ExpectCorrect();
}

TEST_F(CudaEngineTest, EmptyTensorsAndEmptyBatchesAreFine) {
  const auto lane = MakeLane();
  StageTimes times;
  EXPECT_TRUE(lane->Run({}, times).ok());
  StagedBatch batch(*engine_->arena(), {ProblemSpec{.q_len = 0, .kv_len = 0}, ProblemSpec{.q_len = 3, .kv_len = 0}});
  EXPECT_TRUE(lane->Run(batch.problems(), times).ok());
  batch.ExpectCorrect();
}

TEST_F(CudaEngineTest, TwoLanesAtOnce) {
  constexpr uint64_t kLanes = 2;
  constexpr uint64_t kBatchesPerLane = 20;
  std::vector<std::thread> threads;
  threads.reserve(kLanes);
  for (uint64_t lane_index = 0; lane_index < kLanes; ++lane_index) {
    threads.emplace_back([this, lane_index] {
      const auto lane = MakeLane();
      for (uint64_t i = 0; i < kBatchesPerLane; ++i) {
        StagedBatch batch(*engine_->arena(), MixedBatch(1 + i, 100 * lane_index + i));
        StageTimes times;
        const absl::Status status = lane->Run(batch.problems(), times);
        ASSERT_TRUE(status.ok()) << status;
        batch.ExpectCorrect();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(engine_->arena()->used_bytes(), 0U);
}

}  // namespace
}  // namespace flashcore
