#include "server/telemetry/cpu_telemetry.h"

#include <sched.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "server/telemetry/family.h"

namespace flashcore {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;

}  // namespace

int64_t ProcessCpuNs() {
  timespec time = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return time.tv_sec * kNsPerSecond + time.tv_nsec;
}

int UsableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof(set), &set) == 0 ? std::max(CPU_COUNT(&set), 1) : 1;
}

CpuTelemetry::CpuTelemetry(std::function<int64_t()> cpu_ns, int num_cpus, const Clock& clock)
    : cpu_ns_(std::move(cpu_ns)), num_cpus_(num_cpus), clock_(clock) {}

void CpuTelemetry::Sample() {
  const MutexLock lock(mutex_);
  const int64_t now_ns = clock_.NowNs();
  const int64_t cpu_ns = cpu_ns_();
  if (last_ns_.has_value() && now_ns > *last_ns_) {
    const double possible_ns = static_cast<double>(now_ns - *last_ns_) * num_cpus_;
    // The two clocks are read one after the other, so that a busy process may seem to get a little more than all.
    ratio_ = std::clamp(static_cast<double>(cpu_ns - last_cpu_ns_) / possible_ns, 0.0, 1.0);
  }
  last_ns_ = now_ns;
  last_cpu_ns_ = cpu_ns;
}

std::vector<prometheus::MetricFamily> CpuTelemetry::Collect() const {
  std::vector<prometheus::MetricFamily> families;
  const MutexLock lock(mutex_);
  AppendGauge(families, "flashcore_cpu_utilization_ratio",
              "Share of the CPUs that the server may use which it kept busy in the sampling period, 0 to 1.",
              {{{}, ratio_}});
  return families;
}

}  // namespace flashcore
