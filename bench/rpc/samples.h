// What a load measured, and what repetitions of it come to.
#ifndef FLASHCORE_BENCH_RPC_SAMPLES_H_
#define FLASHCORE_BENCH_RPC_SAMPLES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace flashcore::bench {

// One repetition against one server.
struct Sample {
  int64_t answered = 0;  // Within the measured time.
  int64_t failed = 0;    // At any time; `first_error` is one of them.
  std::string first_error;
  double requests_per_s = 0;
  double p50_us = 0;  // From the sending of a request to its answer.
  double p99_us = 0;
  // CPU time of the server's process for each answer. Absent where it cannot be told.
  std::optional<double> server_cpu_us;
};

// Medians over repetitions.
struct Medians {
  int64_t answered = 0;  // Sums, these two.
  int64_t failed = 0;
  double requests_per_s = 0;
  double p50_us = 0;
  double p99_us = 0;
  std::optional<double> server_cpu_us;
  // The p50s of the repetitions, least and greatest: how far to trust the median.
  double least_p50_us = 0;
  double greatest_p50_us = 0;
};

// One server beside the baseline, repetition by repetition, so that what slows the machine down slows both.
struct Comparison {
  double share = 0;        // Median of requests/s over the baseline's.
  double p50_diff_us = 0;  // Median of p50 minus the baseline's.
};

// Linear between neighbours; 0 of nothing. `quantile` is in [0, 1].
double Quantile(std::vector<double> values, double quantile);

// `samples` is not empty.
Medians Reduce(const std::vector<Sample>& samples);

// Both have as many samples, at least one, the i-th of each taken one after the other.
Comparison Compare(const std::vector<Sample>& samples, const std::vector<Sample>& baseline);

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_RPC_SAMPLES_H_
