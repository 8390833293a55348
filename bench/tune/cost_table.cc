#include "bench/tune/cost_table.h"

#include <algorithm>
#include <limits>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/tune/plan_space.h"

namespace flashcore::bench {
namespace {

size_t NativeIndex(int head_dim) {
  const auto* const native = std::find(std::begin(cuda::kNativeHeadDims), std::end(cuda::kNativeHeadDims), head_dim);
  return static_cast<size_t>(native - std::begin(cuda::kNativeHeadDims));
}

}  // namespace

CostTable CheckedInCosts() {
  CostTable table;
  for (size_t native = 0; native < table.size(); ++native) {
    for (int kind = 0; kind < cuda::kTileKinds; ++kind) {
      table[native][static_cast<size_t>(kind)] =
          cuda::FittedCost(cuda::kNativeHeadDims[native], static_cast<cuda::TileKind>(kind));
    }
  }
  return table;
}

std::string ToSource(const CostTable& costs, absl::string_view provenance) {
  std::string source = absl::StrCat(
      "// Written by flashcore_calibrate; run it again rather than edit this.\n// ", provenance,
      ".\n// step, latency, cta, merge, merge_share, masked_step, masked_latency, capped\n", "// clang-format off\n");
  for (size_t native = 0; native < costs.size(); ++native) {
    absl::StrAppend(&source, "{\n");
    for (size_t kind = 0; kind < costs[native].size(); ++kind) {
      const cuda::TileCost& c = costs[native][kind];
      absl::StrAppendFormat(&source, "    {%.3f, %.3f, %.3f, %.3f, %.3f, %.3f, %.3f, %.3f},  // %d, %s\n", c.step,
                            c.latency, c.cta, c.merge, c.merge_share, c.masked_step, c.masked_latency, c.capped,
                            cuda::kNativeHeadDims[native], ToString(static_cast<cuda::TileKind>(kind)));
    }
    absl::StrAppend(&source, "},\n");
  }
  absl::StrAppend(&source, "// clang-format on\n");
  return source;
}

std::vector<Observation> Observe(absl::Span<const PlanTiming> timings) {
  std::map<std::tuple<int, int64_t, int64_t, std::string>, size_t> problems;
  std::vector<double> best_us;
  std::vector<Observation> plans;
  for (const PlanTiming& timing : timings) {
    Observation plan;
    plan.problem = problems
                       .try_emplace({timing.device.multiprocessors, timing.device.l2_bytes,
                                     timing.device.shared_bytes_per_sm, ToString(timing.problem)},
                                    problems.size())
                       .first->second;
    plan.tiles = cuda::ModelTiles(timing.problem, timing.device, timing.kind);
    plan.native = NativeIndex(plan.tiles.tile.head_dim);
    plan.kind = timing.kind;
    plan.cut = timing.cut;
    plan.us = timing.us;
    best_us.resize(problems.size(), std::numeric_limits<double>::infinity());
    best_us[plan.problem] = std::min(best_us[plan.problem], plan.us);
    plans.push_back(plan);
  }
  for (Observation& plan : plans) plan.best_us = best_us[plan.problem];
  return plans;
}

double PredictUs(const TileCosts& costs, const Observation& plan) {
  return cuda::PredictUs(costs[static_cast<size_t>(plan.kind)], plan.tiles.tile, plan.tiles.sample, plan.cut,
                         plan.tiles.on);
}

double PredictUs(const CostTable& costs, const Observation& plan) { return PredictUs(costs[plan.native], plan); }

}  // namespace flashcore::bench
