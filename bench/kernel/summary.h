// Repeated timings in a few numbers.
#ifndef FLASHCORE_BENCH_KERNEL_SUMMARY_H_
#define FLASHCORE_BENCH_KERNEL_SUMMARY_H_

#include <vector>

namespace flashcore::bench {

// Of one call.
struct Summary {
  double median_us = 0.0;
  double p10_us = 0.0;
  double p90_us = 0.0;
  int timings = 0;
};

// Quantiles are linear between neighbours. `timings_us` must not be empty.
Summary Summarize(std::vector<double> timings_us);

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_KERNEL_SUMMARY_H_
