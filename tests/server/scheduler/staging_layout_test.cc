#include "server/scheduler/staging_layout.h"

#include <cstdint>
#include <memory>

#include "gtest/gtest.h"

namespace flashcore {
namespace {

constexpr auto kUnit = static_cast<int64_t>(HostArena::kAlignment);

// Q and O of one unit, K and V of two, LSE of one.
AttentionProblem Problem() {
  AttentionProblem problem;
  problem.batch = problem.num_qo_heads = problem.num_kv_heads = problem.q_len = 1;
  problem.head_dim = 8;
  problem.kv_len = kUnit / 16 + 1;
  return problem;
}

TEST(StagingLayoutTest, RoundsEveryTensorUp) {
  const auto layout = LayOut(Problem(), /*want_lse=*/true, 7 * kUnit);
  ASSERT_TRUE(layout.ok()) << layout.status();
  EXPECT_EQ(layout->q_bytes, kUnit);
  EXPECT_EQ(layout->kv_bytes, 2 * kUnit);
  EXPECT_EQ(layout->lse_bytes, kUnit);
  EXPECT_EQ(layout->input_bytes(), 5 * kUnit);
  EXPECT_EQ(layout->output_bytes(), 2 * kUnit);
  EXPECT_EQ(layout->total_bytes(), 7 * kUnit);
}

TEST(StagingLayoutTest, IsRefusedAboveTheBound) {
  EXPECT_EQ(LayOut(Problem(), /*want_lse=*/true, 7 * kUnit - 1).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(LayOut(Problem(), /*want_lse=*/false, 6 * kUnit).ok());
}

TEST(StagingLayoutTest, NeitherBlockIsTakenUnlessBothAreThere) {
  const StagingLayout layout = {.q_bytes = 2 * kUnit, .kv_bytes = kUnit, .lse_bytes = 0};
  for (const int64_t units : {3, 5}) {
    const std::shared_ptr<HostArena> arena = *HostArena::CreatePageable(static_cast<size_t>(units * kUnit));
    const auto account = std::make_shared<MemoryAccount>();
    HostBlock input;
    HostBlock output;
    EXPECT_EQ(AllocateBlocks(*arena, layout, account, input, output).code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(input.data(), nullptr);
    EXPECT_EQ(output.data(), nullptr);
    EXPECT_EQ(arena->used_bytes(), 0u) << "of " << units;
    EXPECT_EQ(account->used_bytes(), 0u) << "of " << units;
  }
}

TEST(StagingLayoutTest, PointsAtEachTensor) {
  const StagingLayout layout = {.q_bytes = 2 * kUnit, .kv_bytes = kUnit, .lse_bytes = kUnit};
  const std::shared_ptr<HostArena> arena = *HostArena::CreatePageable(static_cast<size_t>(8 * kUnit));
  HostBlock input;
  HostBlock output;
  ASSERT_TRUE(AllocateBlocks(*arena, layout, nullptr, input, output).ok());
  AttentionProblem problem;
  PointIntoBlocks(layout, /*want_lse=*/true, input, output, problem);
  EXPECT_EQ(problem.q, input.data());
  EXPECT_EQ(problem.k, input.data() + 2 * kUnit);
  EXPECT_EQ(problem.v, input.data() + 3 * kUnit);
  EXPECT_EQ(problem.o, output.data());
  EXPECT_EQ(static_cast<void*>(problem.lse), output.data() + 2 * kUnit);
  PointIntoBlocks(layout, /*want_lse=*/false, input, output, problem);
  EXPECT_EQ(problem.lse, nullptr);
}

}  // namespace
}  // namespace flashcore
