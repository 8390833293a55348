#include "bench/kernel/summary.h"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <utility>
#include <vector>

namespace flashcore::bench {
namespace {

double Quantile(const std::vector<double>& sorted, double fraction) {
  const double position = fraction * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (position - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

Summary Summarize(std::vector<double> timings_us) {
  assert(!timings_us.empty());
  std::sort(timings_us.begin(), timings_us.end());
  return {Quantile(timings_us, 0.5), Quantile(timings_us, 0.1), Quantile(timings_us, 0.9),
          static_cast<int>(timings_us.size())};
}

}  // namespace flashcore::bench
