// How busy this process keeps the CPUs that it may use.
#ifndef FLASHCORE_SERVER_TELEMETRY_CPU_TELEMETRY_H_
#define FLASHCORE_SERVER_TELEMETRY_CPU_TELEMETRY_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "kernels/base/mutex.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"
#include "server/telemetry/clock.h"

namespace flashcore {

// CPU time of this process so far, user and system.
int64_t ProcessCpuNs();
// CPUs that this process may run on.
int UsableCpus();

// Thread-safe: one thread samples while others collect.
class CpuTelemetry : public prometheus::Collectable {
 public:
  // `cpu_ns` as ProcessCpuNs. The clock must outlive the object.
  CpuTelemetry(std::function<int64_t()> cpu_ns, int num_cpus, const Clock& clock);

  // Measures from the previous call to this one; the first only starts.
  void Sample();

  // Of the latest sample; none before the second.
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const std::function<int64_t()> cpu_ns_;
  const int num_cpus_;
  const Clock& clock_;

  mutable Mutex mutex_;
  std::optional<int64_t> last_ns_ ABSL_GUARDED_BY(mutex_);
  int64_t last_cpu_ns_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<double> ratio_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_CPU_TELEMETRY_H_
