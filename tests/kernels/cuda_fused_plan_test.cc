// The fused kernels' plan, for an L4's 58 multiprocessors as well as an H100's 132. Needs no device.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "kernels/attention.h"
#include "kernels/cuda/fused_plan.h"
#include "tests/kernels/plan_problems.h"

namespace flashcore::cuda {
namespace {

constexpr DeviceLimits kL4 = {.multiprocessors = 58, .l2_bytes = int64_t{48} << 20};
constexpr DeviceLimits kH100 = {
    .multiprocessors = 132, .l2_bytes = int64_t{50} << 20, .shared_bytes_per_sm = int64_t{228} << 10};
constexpr DeviceLimits kSlice = {
    .multiprocessors = 56, .l2_bytes = int64_t{50} << 20, .shared_bytes_per_sm = int64_t{228} << 10};

AttentionProblem Causal(AttentionProblem problem) {
  problem.options.causal = true;
  return problem;
}

TEST(CudaFusedPlanTest, EveryRowAndKeyIsPlanned) {
  for (const DeviceLimits& device : {kL4, kH100}) {
    for (const int64_t head_dim : {8, 32, 40, 64, 96, 128, 160, 192, 208, 256}) {
      for (const int64_t q_len : {1, 3, 113, 512, 4096}) {
        for (const int64_t kv_len : {0, 1, 239, 4096, 131072}) {
          for (const int64_t kv_heads : {1, 2, 8}) {
            const AttentionProblem problem = Shape(2, 8, kv_heads, q_len, kv_len, head_dim);
            ASSERT_TRUE(FusedSupports(problem));
            const FusedPlan plan = PlanFused(problem, device);
            EXPECT_GE(plan.head_dim, head_dim);
            EXPECT_GE(int64_t{plan.tiles_per_unit} * plan.tile().Rows(), plan.rows_per_unit);
            EXPECT_GE(int64_t{plan.splits} * plan.keys_per_split, kv_len);
            EXPECT_EQ(plan.keys_per_split % plan.tile().Keys(), 0);
            EXPECT_GE(plan.units_per_section, 1);
          }
        }
      }
    }
  }
}

// Whether a launch of the plan computes everything and stays within what it may ask for.
void ExpectSound(const AttentionProblem& problem, const FusedPlan& plan) {
  const int64_t group = problem.num_qo_heads / problem.num_kv_heads;
  EXPECT_EQ(plan.rows_per_unit, problem.q_len * group);
  EXPECT_EQ(plan.units, problem.batch * problem.num_kv_heads);
  EXPECT_GE(int64_t{plan.tiles_per_unit} * plan.tile().Rows(), plan.rows_per_unit);
  EXPECT_LT((int64_t{plan.tiles_per_unit} - 1) * plan.tile().Rows(), plan.rows_per_unit);
  EXPECT_GE(plan.ctas(), 1);
  EXPECT_LE(plan.ctas(), kMaxFusedLength);
  EXPECT_LE(plan.partial_floats(), kMaxPartialFloats);
  EXPECT_LE(plan.arrivals(), kMaxArrivals);
  // Every tile's keys, from the first that its first row sees to the last that its last row sees, lie in its splits.
  for (int64_t tile = 0; tile < plan.tiles_per_unit; ++tile) {
    const int64_t first_row = tile * plan.tile().Rows();
    const int64_t last_row = std::min<int64_t>(first_row + plan.tile().Rows(), plan.rows_per_unit) - 1;
    const int64_t begin = VisibleKeys(problem, first_row / group).begin;
    const int64_t end = VisibleKeys(problem, last_row / group).end;
    ASSERT_LE(end - begin, int64_t{plan.splits} * plan.keys_per_split);
  }
}

TEST(CudaFusedPlanTest, TheGridOfLengthsGroupsAndWindowsIsSound) {
  struct Lengths {
    int64_t q_len;
    int64_t kv_len;
  };
  constexpr Lengths kLengths[] = {{1, 1},       {1, 239},    {239, 1},   {3, 799},     {799, 3},
                                  {511, 1},     {113, 203},  {108, 256}, {1023, 1024}, {1024, 1023},
                                  {2048, 3577}, {16, 20000}, {1, 131072}};
  for (const DeviceLimits& device : {kL4, kH100}) {
    for (const Lengths lengths : kLengths) {
      for (const int64_t head_dim : {32, 40, 64, 80, 96, 128, 160, 192, 256}) {
        for (const int64_t group : {1, 4, 7, 8}) {
          for (const int64_t window : {-1, 3, 533}) {
            AttentionProblem problem = Causal(Shape(2, group * 2, 2, lengths.q_len, lengths.kv_len, head_dim));
            problem.options.window_left = window;
            ExpectSound(problem, PlanFused(problem, device));
            problem.options.causal = false;
            ExpectSound(problem, PlanFused(problem, device));
          }
        }
      }
    }
  }
}

TEST(CudaFusedPlanTest, APlanDependsOnItsArgumentsAlone) {
  const AttentionProblem problem = Shape(1, 32, 8, 1, 8192, 128);
  const FusedPlan plan = PlanFused(problem, kH100);
  PlanFused(Causal(Shape(2, 32, 32, 8192, 8192, 64)), kL4);
  EXPECT_EQ(PlanFused(problem, kH100), plan);
  EXPECT_EQ(PlanFused(problem, kH100, DefaultTuning()), plan);
}

TEST(CudaFusedPlanTest, TheTableIsAnArgument) {
  const AttentionProblem problem = Shape(1, 8, 8, 64, 8192, 64);
  const FusedClass of = ClassOf(problem, kH100);
  TunedClass row = {of.head_dim, of.masked, of.rows, of.keys, of.fill, static_cast<int>(TileKind::kNarrow), 1, 4096};
  const auto plan = [&] { return PlanFused(problem, kH100, {.classes = {&row, 1}}); };
  EXPECT_EQ(plan().kind, TileKind::kNarrow);
  EXPECT_EQ(plan().splits, 2);
  row.ctas_per_sm = 0;
  EXPECT_EQ(plan().splits, 1);
}

TEST(CudaFusedPlanTest, EveryKindOfTileSplitsAsFarAsTheBoundsLetIt) {
  const AttentionProblem problem = Shape(1, 2, 2, 2241, 10615, 128);
  for (int kind = 0; kind < kTileKinds; ++kind) {
    for (const int64_t splits : {1, 2, 5, 1000000}) {
      const FusedPlan plan = PlanFusedWith(problem, kH100, static_cast<TileKind>(kind), splits);
      ExpectSound(problem, plan);
      EXPECT_LE(plan.splits, splits);
    }
    EXPECT_EQ(PlanFusedWith(problem, kH100, static_cast<TileKind>(kind), 2).splits, 2);
  }
}

int64_t TilesInAWave(const FusedPlan& plan, const DeviceLimits& device) {
  return int64_t{device.multiprocessors} * ResidentCtas(plan.tile(), device.shared_bytes_per_sm);
}

TEST(CudaFusedPlanTest, ALastWaveThatIsNotFullIsSplitAlone) {
  struct Case {
    AttentionProblem problem;
    DeviceLimits device;
  };
  const Case cases[] = {{Shape(1, 8, 8, 2048, 2048, 64), kSlice},     {Shape(1, 8, 8, 2048, 2048, 64), kL4},
                        {Shape(2, 16, 16, 2048, 2048, 128), kSlice},  {Shape(2, 16, 16, 4096, 4096, 64), kSlice},
                        {Shape(2, 16, 16, 4096, 4096, 128), kSlice},  {Shape(2, 32, 32, 8192, 8192, 64), kH100},
                        {Shape(1, 16, 16, 16384, 16384, 128), kSlice}};
  for (const Case& one : cases) {
    const FusedPlan plan = PlanFused(one.problem, one.device);
    ExpectSound(one.problem, plan);
    EXPECT_EQ(plan.kind, TileKind::kWide);
    EXPECT_GT(plan.splits, 1);
    EXPECT_EQ(plan.whole_tiles, plan.tiles() / TilesInAWave(plan, one.device) * TilesInAWave(plan, one.device));
    EXPECT_GT(plan.whole_tiles, 0);
    EXPECT_GT(plan.split_tiles(), 0);
    EXPECT_LE(plan.split_tiles(), TilesInAWave(plan, one.device));
  }
}

TEST(CudaFusedPlanTest, AllPlansThatAreConsideredAreSound) {
  for (const DeviceLimits& device : {kL4, kSlice, kH100}) {
    for (const int64_t head_dim : {64, 72, 96, 128, 192, 256}) {
      for (const int64_t length : {512, 1000, 2048, 5003}) {
        for (const int64_t heads : {3, 8, 64}) {
          const AttentionProblem problem = Shape(2, heads, heads, length, length, head_dim);
          for (const FusedPlan& plan : CandidatePlans(problem, device)) ExpectSound(problem, plan);
        }
      }
    }
  }
}

TEST(CudaFusedPlanTest, OnlyTilesThatAreAlikeComeInWaves) {
  for (const DeviceLimits& device : {kL4, kSlice, kH100}) {
    AttentionProblem windowed = Shape(1, 8, 8, 2048, 2048, 64);
    windowed.options.window_left = 1500;
    for (const AttentionProblem& masked : {Causal(Shape(1, 8, 8, 2048, 2048, 64)), windowed}) {
      for (const FusedPlan& plan : CandidatePlans(masked, device)) EXPECT_EQ(plan.whole_tiles, 0);
    }
  }
}

TEST(CudaFusedPlanTest, WhatIsNotSplitHasNoWholeTilesApart) {
  const AttentionProblem problem = Shape(1, 8, 8, 1000, 300, 64);
  const int64_t tiles = PlanFusedWith(problem, kL4, TileKind::kMid, 1).tiles();
  for (const int64_t whole : {tiles, tiles + 1}) {
    EXPECT_EQ(PlanFusedWith(problem, kL4, TileKind::kMid, 3, whole), PlanFusedWith(problem, kL4, TileKind::kMid, 1));
  }
  EXPECT_EQ(PlanFusedWith(problem, kL4, TileKind::kMid, 1, 5), PlanFusedWith(problem, kL4, TileKind::kMid, 1));
  const FusedPlan plan = PlanFusedWith(problem, kL4, TileKind::kMid, 3, 5);
  EXPECT_EQ(plan.ctas(), 5 + 3 * (tiles - 5));
  EXPECT_EQ(plan.arrivals(), tiles - 5);
}

// Too many tiles to split, of which a few may be.
TEST(CudaFusedPlanTest, TheBoundsAreOnTheTilesThatAreSplit) {
  const AttentionProblem problem = Shape(4, 32, 32, 8192, 8192, 64);
  const int64_t tiles = PlanFusedWith(problem, kH100, TileKind::kNarrow, 1).tiles();
  ASSERT_GT(tiles, kMaxArrivals);
  EXPECT_EQ(PlanFusedWith(problem, kH100, TileKind::kNarrow, 4).splits, 1);
  const FusedPlan plan = PlanFusedWith(problem, kH100, TileKind::kNarrow, 4, tiles - 100);
  EXPECT_EQ(plan.splits, 4);
  ExpectSound(problem, plan);
}

// More than the waves that are full, and less than with one more.
TEST(CudaFusedPlanTest, ATailIsPredictedToTakeAPartOfAWave) {
  const auto us = [](const AttentionProblem& problem, const FusedPlan& plan) {
    const ModelledTiles tiles = ModelTiles(problem, kSlice, plan.kind);
    return PredictUs(FittedCost(plan.head_dim, plan.kind), tiles.tile, tiles.sample, plan.cut(), tiles.on);
  };
  const AttentionProblem problem = Shape(1, 8, 8, 2048, 4096, 64);
  const FusedPlan tail = PlanFusedWith(problem, kSlice, TileKind::kWide, 4, 112);
  ASSERT_EQ(tail.split_tiles(), 16);
  const AttentionProblem one_wave = Shape(1, 7, 7, 2048, 4096, 64);
  const FusedPlan whole = PlanFusedWith(one_wave, kSlice, TileKind::kWide, 1);
  ASSERT_EQ(whole.tiles(), 112);
  EXPECT_GT(us(problem, tail), us(one_wave, whole));
  EXPECT_LT(us(problem, tail), us(problem, PlanFusedWith(problem, kSlice, TileKind::kWide, 1)));
  // Merging more tiles takes longer, and so does memory for more shares.
  EXPECT_GT(us(problem, PlanFusedWith(problem, kSlice, TileKind::kWide, 4, 56)), us(problem, tail));
}

TEST(CudaFusedPlanTest, SplitsCountOnCtasThatAreResident) {
  const TileConfig tile = FusedTile(64, TileKind::kNarrow);
  EXPECT_LE(ResidentCtas(tile, kMinSharedBytesPerSm), tile.min_ctas);
  EXPECT_EQ(ResidentCtas(tile, tile.min_ctas * (tile.SharedBytes() + kReservedSharedBytes)), tile.min_ctas);
  EXPECT_EQ(ResidentCtas(tile, 0), 1);
  const AttentionProblem problem = Shape(1, 8, 8, 16, 131072, 64);
  const FusedChoice many = {TileKind::kNarrow, {.ctas_per_sm = 100, .min_keys = 64}};
  const int64_t resident = int64_t{kL4.multiprocessors} * ResidentCtas(tile, kL4.shared_bytes_per_sm);
  EXPECT_LE(PlanFusedAs(problem, kL4, many).ctas(), resident);
}

TEST(CudaFusedPlanTest, TheMissionShapeFillsTheDevice) {
  const AttentionProblem mission = Shape(1, 8, 8, 512, 512, 64);
  const FusedPlan plan = PlanFused(mission, kH100);
  EXPECT_TRUE(plan.kind == TileKind::kShort || plan.kind == TileKind::kNarrow);
  EXPECT_GE(plan.ctas() * 10, kH100.multiprocessors * 9);
  EXPECT_EQ(plan.splits, 1);
  EXPECT_GE(PlanFused(Causal(mission), kH100).ctas(), kH100.multiprocessors);
  EXPECT_GE(PlanFused(mission, kL4).ctas(), kL4.multiprocessors);
}

TEST(CudaFusedPlanTest, LargeGridsTakeWideTiles) {
  for (const DeviceLimits& device : {kL4, kH100}) {
    EXPECT_EQ(PlanFused(Shape(4, 16, 16, 4096, 4096, 128), device).kind, TileKind::kWide);
    EXPECT_EQ(PlanFused(Causal(Shape(2, 32, 32, 8192, 8192, 64)), device).kind, TileKind::kWide);
  }
}

TEST(CudaFusedPlanTest, ShortCausalRowsTakeSmallerTiles) {
  EXPECT_EQ(PlanFused(Causal(Shape(32, 8, 8, 512, 512, 64)), kH100).kind, TileKind::kMid);
}

TEST(CudaFusedPlanTest, DecodingPacksTheGroupAndSplitsTheKeys) {
  const FusedPlan plan = PlanFused(Shape(1, 32, 8, 1, 8192, 128), kH100);
  EXPECT_EQ(plan.kind, TileKind::kNarrow);
  EXPECT_EQ(plan.rows_per_unit, 4);
  EXPECT_EQ(plan.tiles_per_unit, 1);
  EXPECT_GT(plan.splits, 8);
  EXPECT_GT(plan.partial_floats(), 0);
  EXPECT_EQ(plan.arrivals(), 8);
}

TEST(CudaFusedPlanTest, WhatFitsHalfOfL2IsOneSection) {
  EXPECT_EQ(PlanFused(Shape(3, 4, 4, 8192, 8192, 64), kH100).units_per_section, 12);
  EXPECT_EQ(PlanFused(Causal(Shape(3, 4, 4, 8192, 8192, 64)), kH100).units_per_section, 12);
}

TEST(CudaFusedPlanTest, WithoutAMaskUnitsThatDoNotFitGoOneByOne) {
  EXPECT_EQ(PlanFused(Shape(2, 32, 32, 8192, 8192, 64), kH100).units_per_section, 1);
}

TEST(CudaFusedPlanTest, WithAMaskTheLastSectionIsAsFullAsTheOthers) {
  EXPECT_EQ(PlanFused(Causal(Shape(2, 32, 32, 8192, 8192, 64)), kH100).units_per_section, 8);
  EXPECT_EQ(PlanFused(Causal(Shape(2, 16, 16, 4096, 4096, 64)), kH100).units_per_section, 16);
  // 13 make two sections of 7 and 6.
  EXPECT_EQ(PlanFused(Causal(Shape(1, 13, 13, 8192, 8192, 64)), kH100).units_per_section, 7);
}

TEST(CudaFusedPlanTest, OnlyALaunchThatFitsAndIsNotAlikeTurnsByMultiprocessors) {
  const TileConfig tile = FusedTile(64, TileKind::kWide);
  const int at_once = CtasAtOnce(tile, kH100);
  EXPECT_EQ(at_once, 264);
  EXPECT_EQ(RoundCtas(tile, kH100, {.ctas = at_once, .grid = at_once}), 132);
  EXPECT_EQ(RoundCtas(tile, kH100, {.ctas = at_once, .grid = at_once, .alike = true}), at_once);
  EXPECT_EQ(RoundCtas(tile, kH100, {.ctas = at_once + 1, .grid = at_once + 1}), at_once + 1);
  // Persistent.
  EXPECT_EQ(RoundCtas(tile, kH100, {.ctas = 1000, .grid = at_once}), at_once);
}

TEST(CudaFusedPlanTest, WhatItCannotRunItSaysSo) {
  const AttentionProblem good = Shape(1, 2, 2, 16, 16, 64);
  EXPECT_TRUE(FusedSupports(good));
  AttentionProblem bad = good;
  bad.dtype = DType::kFloat32;
  EXPECT_FALSE(FusedSupports(bad));
  bad = Shape(1, 2, 2, 16, 16, 111);
  EXPECT_FALSE(FusedSupports(bad));
  bad = good;
  bad.k_strides.row = 68;
  EXPECT_FALSE(FusedSupports(bad));
  bad = good;
  alignas(16) const std::array<char, 32> memory = {};
  bad.q = memory.data() + 2;
  EXPECT_FALSE(FusedSupports(bad));
}

}  // namespace
}  // namespace flashcore::cuda
