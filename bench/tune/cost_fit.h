// Fits the cost model's constants to timed plans.
//
//   each configuration of tiles alone  --> constants with the least error of predicted times, by random steps that
//                                          grow smaller, from several starts
//   all kinds of a head_dim together   --> moved on a little, to where the plans that they choose are fast as well
//
// Plans that are far from their problem's best count less: how slow they are does not matter, as long as they are not
// chosen.
#ifndef FLASHCORE_BENCH_TUNE_COST_FIT_H_
#define FLASHCORE_BENCH_TUNE_COST_FIT_H_

#include <cstddef>
#include <cstdint>
#include <functional>

#include "absl/types/span.h"
#include "bench/tune/cost_table.h"

namespace flashcore::bench {

struct FitOptions {
  uint64_t seed = 42;
  int starts = 4;
  int steps = 4000;  // Of each search.
  int threads = 1;
};

// What came of one head_dim.
struct FittedHeadDim {
  int head_dim = 0;
  size_t plans = 0;
  double error = 0.0;  // Mean of |log(predicted / measured)|, weighted as above.
};

// Configurations without plans keep their constants of `before`. Depends on the arguments alone, not on the number of
// threads. `progress` may be called from any thread, by one at a time.
CostTable FitCosts(absl::Span<const Observation> plans, const CostTable& before, const FitOptions& options,
                   const std::function<void(const FittedHeadDim&)>& progress);

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_TUNE_COST_FIT_H_
