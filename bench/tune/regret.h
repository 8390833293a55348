// How good a plan the cost model chooses: how many times as long it takes as the fastest that was timed.
#ifndef FLASHCORE_BENCH_TUNE_REGRET_H_
#define FLASHCORE_BENCH_TUNE_REGRET_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "bench/tune/cost_table.h"
#include "bench/tune/plan_timings.h"

namespace flashcore::bench {

// Of one problem on one device.
struct PlanChoice {
  size_t chosen = 0;  // The timing that is predicted to be the least; of equals the first.
  size_t best = 0;    // The one that is.
  double ratio = 1.0;
};

struct Regret {
  double mean = 1.0;
  double percentile_95 = 1.0;  // That many, rounded down, of a hundred choices are no worse.
  double most = 1.0;
  std::vector<PlanChoice> choices;  // The worst first.
};

// Indices are those of `plans`. All 1 if there are none.
Regret RegretOf(absl::Span<const Observation> plans, const CostTable& costs);

// "1.012 in the mean, 1.08 at the 95th percentile, 1.23 at most, over 292 problems".
std::string ToString(const Regret& regret);

// The worst choices, one to a line, for people. `timings` are what `plans` were made of.
std::string WorstChoices(const Regret& regret, absl::Span<const PlanTiming> timings, size_t count);

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_TUNE_REGRET_H_
