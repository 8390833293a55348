#include "bench/rpc/samples.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

namespace flashcore::bench {
namespace {

constexpr double kMedian = 0.5;

template <typename Get>
std::vector<double> Column(const std::vector<Sample>& samples, Get get) {
  std::vector<double> values;
  values.reserve(samples.size());
  for (const Sample& sample : samples) values.push_back(get(sample));
  return values;
}

}  // namespace

double Quantile(std::vector<double> values, double quantile) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double place = quantile * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, values.size() - 1);
  return std::lerp(values[below], values[above], place - static_cast<double>(below));
}

Medians Reduce(const std::vector<Sample>& samples) {
  Medians medians;
  std::vector<double> cpu_us;
  for (const Sample& sample : samples) {
    medians.answered += sample.answered;
    medians.failed += sample.failed;
    if (sample.server_cpu_us.has_value()) cpu_us.push_back(*sample.server_cpu_us);
  }
  const std::vector<double> p50_us = Column(samples, [](const Sample& s) { return s.p50_us; });
  medians.requests_per_s = Quantile(Column(samples, [](const Sample& s) { return s.requests_per_s; }), kMedian);
  medians.p50_us = Quantile(p50_us, kMedian);
  medians.p99_us = Quantile(Column(samples, [](const Sample& s) { return s.p99_us; }), kMedian);
  medians.least_p50_us = Quantile(p50_us, 0);
  medians.greatest_p50_us = Quantile(p50_us, 1);
  if (!cpu_us.empty()) medians.server_cpu_us = Quantile(std::move(cpu_us), kMedian);
  return medians;
}

Comparison Compare(const std::vector<Sample>& samples, const std::vector<Sample>& baseline) {
  std::vector<double> shares;
  std::vector<double> differences_us;
  for (size_t i = 0; i < samples.size(); ++i) {
    const double base = baseline[i].requests_per_s;
    shares.push_back(base > 0 ? samples[i].requests_per_s / base : 0);
    differences_us.push_back(samples[i].p50_us - baseline[i].p50_us);
  }
  return {.share = Quantile(std::move(shares), kMedian), .p50_diff_us = Quantile(std::move(differences_us), kMedian)};
}

}  // namespace flashcore::bench
