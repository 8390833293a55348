// Which tile and which share of its keys each CTA of a fused kernel takes: the kernels' own arithmetic, run on the host
// for every CTA of a plan. Needs no device.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "kernels/attention.h"
#include "kernels/cuda/fused_plan.h"
#include "kernels/cuda/tile_order.h"
#include "tests/kernels/plan_problems.h"

namespace flashcore::cuda {
namespace {

// Half of its L2 holds the keys and values of three units of 512 x 64.
constexpr DeviceLimits kSmallL2 = {.multiprocessors = 5, .l2_bytes = int64_t{6} * 2 * 512 * 64 * 2};

std::vector<AttentionProblem> Problems() {
  std::vector<AttentionProblem> problems = {Shape(1, 8, 8, 512, 512, 64), Shape(2, 7, 7, 300, 500, 64),
                                            Shape(1, 12, 4, 77, 515, 64), Shape(3, 5, 1, 1, 2000, 64),
                                            Shape(1, 1, 1, 1023, 129, 64)};
  const size_t unmasked = problems.size();
  for (size_t i = 0; i < unmasked; ++i) {
    problems.push_back(problems[i]);
    problems.back().options.causal = true;
    problems.push_back(problems[i]);
    problems.back().options.window_left = 100;
  }
  return problems;
}

// Plans of every kind: whole, split, and split but for some, one of, or all but one of the tiles.
std::vector<FusedPlan> Plans(const AttentionProblem& problem) {
  std::vector<FusedPlan> plans;
  for (int kind = 0; kind < kTileKinds; ++kind) {
    const FusedPlan whole = PlanFusedWith(problem, kSmallL2, static_cast<TileKind>(kind), 1);
    plans.push_back(whole);
    for (const int64_t splits : {2, 3, 7}) {
      for (const int64_t whole_tiles : {int64_t{0}, int64_t{1}, whole.tiles() / 2, whole.tiles() - 1}) {
        plans.push_back(PlanFusedWith(problem, kSmallL2, static_cast<TileKind>(kind), splits, whole_tiles));
      }
    }
  }
  return plans;
}

// Unit, tile and split.
using Place = std::tuple<int, int, int>;

// Section by section, the last tiles of its units first, a tile's splits side by side.
std::vector<Place> ExpectedOrder(const FusedPlan& plan) {
  std::vector<Place> order;
  int tiles = 0;
  for (int first = 0; first < plan.units; first += plan.units_per_section) {
    for (int tile = plan.tiles_per_unit - 1; tile >= 0; --tile) {
      for (int unit = first; unit < std::min(first + plan.units_per_section, plan.units); ++unit) {
        const int splits = tiles++ < plan.whole_tiles ? 1 : plan.splits;
        for (int split = 0; split < splits; ++split) order.emplace_back(unit, tile, split);
      }
    }
  }
  return order;
}

std::vector<int> CtasByPlace(int ctas, int round_ctas) {
  std::vector<int> order;
  for (int place = 0; place < ctas; ++place) {
    order.push_back(CtaInPlace(place, ctas, round_ctas, MakeDivisor(round_ctas)));
  }
  return order;
}

TEST(CudaTileOrderTest, OddRoundsRunBackwards) {
  EXPECT_EQ(CtasByPlace(10, 4), (std::vector<int>{0, 1, 2, 3, 7, 6, 5, 4, 8, 9}));
  EXPECT_EQ(CtasByPlace(7, 4), (std::vector<int>{0, 1, 2, 3, 6, 5, 4}));
  EXPECT_EQ(CtasByPlace(3, 4), (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(CtasByPlace(3, 3), (std::vector<int>{0, 1, 2}));
}

TEST(CudaTileOrderTest, EveryCtaHasOnePlace) {
  for (const int ctas : {1, 131, 132, 133, 263, 264, 265, 1000}) {
    for (const int round_ctas : {1, 2, 58, 132, 264}) {
      std::vector<int> order = CtasByPlace(ctas, round_ctas);
      std::sort(order.begin(), order.end());
      for (int cta = 0; cta < ctas; ++cta) {
        ASSERT_EQ(order[static_cast<size_t>(cta)], cta) << ctas << " CTAs in rounds of " << round_ctas;
      }
    }
  }
}

TEST(CudaTileOrderTest, SectionsThenTilesThenUnitsThenSplits) {
  bool sections = false;
  bool tails = false;
  for (const AttentionProblem& problem : Problems()) {
    for (const FusedPlan& plan : Plans(problem)) {
      sections = sections || plan.units_per_section < plan.units;
      tails = tails || plan.whole_tiles > 0;
      const FusedProblem described = DescribeFused(problem, plan);
      std::vector<Place> order;
      for (int cta = 0; cta < plan.ctas(); ++cta) {
        const TilePlace place = PlaceOfCta(described, cta);
        order.emplace_back(place.unit, place.tile, place.split);
      }
      ASSERT_EQ(order, ExpectedOrder(plan)) << "kind " << static_cast<int>(plan.kind) << ", " << plan.splits
                                            << " splits, " << plan.whole_tiles << " whole";
    }
  }
  EXPECT_TRUE(sections);
  EXPECT_TRUE(tails);
}

TEST(CudaTileOrderTest, EveryKeyOfEveryTileIsTakenOnce) {
  for (const AttentionProblem& problem : Problems()) {
    const int64_t group = problem.num_qo_heads / problem.num_kv_heads;
    for (const FusedPlan& plan : Plans(problem)) {
      const FusedProblem described = DescribeFused(problem, plan);
      std::vector<int64_t> next(static_cast<size_t>(plan.tiles()));
      for (int cta = 0; cta < plan.ctas(); ++cta) {
        const TilePlace place = PlaceOfCta(described, cta);
        const int64_t first_row = int64_t{place.tile} * plan.tile().Rows();
        const int64_t last_row = std::min<int64_t>(first_row + plan.tile().Rows(), plan.rows_per_unit) - 1;
        const int64_t begin = VisibleKeys(problem, first_row / group).begin;
        const int64_t keys = std::max<int64_t>(VisibleKeys(problem, last_row / group).end - begin, 0);
        const bool whole = plan.splits == 1 || place.split_tile < 0;
        // Shares follow one another.
        int64_t& taken = next[static_cast<size_t>(int64_t{place.unit} * plan.tiles_per_unit + place.tile)];
        ASSERT_EQ(std::min(taken, keys), std::min(int64_t{place.split} * plan.keys_per_split, keys));
        taken = whole ? keys : std::min(taken + plan.keys_per_split, keys);
        if (whole || place.split == plan.splits - 1) {
          ASSERT_EQ(taken, keys);
        }
      }
    }
  }
}

TEST(CudaTileOrderTest, SplitTilesHaveMemoryOfTheirOwn) {
  for (const AttentionProblem& problem : Problems()) {
    for (const FusedPlan& plan : Plans(problem)) {
      if (plan.splits == 1) continue;
      const FusedProblem described = DescribeFused(problem, plan);
      std::set<std::pair<int, int>> shares;
      for (int cta = 0; cta < plan.ctas(); ++cta) {
        const TilePlace place = PlaceOfCta(described, cta);
        ASSERT_EQ(place.split_tile < 0, cta < plan.whole_tiles);
        if (place.split_tile < 0) continue;
        ASSERT_LT(place.split_tile, plan.arrivals());
        ASSERT_TRUE(shares.emplace(place.split_tile, place.split).second);
      }
      EXPECT_EQ(static_cast<int64_t>(shares.size()) * plan.tile().SplitShareFloats(), plan.partial_floats());
    }
  }
}

}  // namespace
}  // namespace flashcore::cuda
