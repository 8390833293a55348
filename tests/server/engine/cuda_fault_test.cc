// What a fault of the device does to the lanes. Spoils the process's CUDA context, hence a binary of its own.
#include <gtest/gtest.h>

#include <cstdint>

#include "absl/status/status.h"
#include "server/engine/engine.h"
#include "tests/kernels/harness.h"
#include "tests/server/engine/staged_batch.h"

namespace flashcore {
namespace {

TEST(CudaFaultTest, EveryLaneFailsWithInternalFromThereOn) {
  EngineOptions options;
  options.backend.backend = "cuda";
  options.arena_bytes = int64_t{4} << 20;
  options.max_batch_bytes = int64_t{1} << 20;
  const auto engines = CreateEngines(options);
  if (absl::IsUnavailable(engines.status())) GTEST_SKIP() << engines.status().message();
  ASSERT_TRUE(engines.ok()) << engines.status();
  Engine& engine = *engines->front();
  const auto lane = engine.CreateLane();
  const auto other_lane = engine.CreateLane();
  ASSERT_TRUE(lane.ok() && other_lane.ok());
  testing::StagedBatch batch(*engine.arena(), {testing::ProblemSpec{.q_len = 8}});
  StageTimes times;
  ASSERT_TRUE((*lane)->Run(batch.problems(), times).ok());

  // A stride into memory that is not ours makes the kernel fault.
  AttentionProblem faulty = batch.problems()[0];
  faulty.k_strides.row = int64_t{1} << 44;
  const absl::Status fault = (*lane)->Run({&faulty, 1}, times);
  EXPECT_EQ(fault.code(), absl::StatusCode::kInternal) << fault;
  EXPECT_EQ((*lane)->Run(batch.problems(), times), fault);
  EXPECT_EQ((*other_lane)->Run(batch.problems(), times).code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace flashcore
