// The constants of the planner's cost model (kernels/cuda/fused_cost.h) as a table to fit, judge and write, and timed
// plans as the model sees them. The model is the library's own: what is fitted is what plans.
#ifndef FLASHCORE_BENCH_TUNE_COST_TABLE_H_
#define FLASHCORE_BENCH_TUNE_COST_TABLE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "bench/tune/plan_timings.h"
#include "kernels/cuda/fused_cost.h"
#include "kernels/cuda/fused_plan.h"
#include "kernels/cuda/fused_tiles.h"

namespace flashcore::bench {

// Of one head_dim, by kind.
using TileCosts = std::array<cuda::TileCost, cuda::kTileKinds>;
// By head_dim, as in cuda::kNativeHeadDims.
using CostTable = std::array<TileCosts, std::size(cuda::kNativeHeadDims)>;

// The one that plans are made with now.
CostTable CheckedInCosts();

// C++ source of tuned/costs.inc. `provenance`: of what timings, in one line.
std::string ToSource(const CostTable& costs, absl::string_view provenance);

// A timed plan, with all that its prediction needs but the constants.
struct Observation {
  size_t problem = 0;  // Which of the problems, each on each device; they are counted in the order of their timings.
  size_t native = 0;   // Of cuda::kNativeHeadDims.
  cuda::TileKind kind = cuda::TileKind::kWide;
  cuda::ModelledTiles tiles;
  cuda::KeyCut cut;
  double us = 0.0;
  double best_us = 0.0;  // Of the problem's plans.
};

// In the same order.
std::vector<Observation> Observe(absl::Span<const PlanTiming> timings);

// What the model says of it.
double PredictUs(const TileCosts& costs, const Observation& plan);
double PredictUs(const CostTable& costs, const Observation& plan);

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_TUNE_COST_TABLE_H_
