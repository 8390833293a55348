#include "server/telemetry/gpu/gpu_telemetry.h"

#include <utility>

namespace flashcore {

GpuTelemetry::GpuTelemetry(std::shared_ptr<DeviceMonitor> monitor, CounterChain chain)
    : monitor_(std::move(monitor)), chain_(std::move(chain)) {}

void GpuTelemetry::Sample() {
  if (!std::exchange(started_, true)) chain_.Start();
  GpuSnapshot snapshot;
  // Before the reading, which may move on to another source and then holds nothing.
  snapshot.source = std::string(chain_.active());
  snapshot.counters = chain_.Read();
  snapshot.statuses = chain_.statuses();
  if (monitor_ != nullptr) {
    snapshot.identity = monitor_->identity();
    snapshot.device = monitor_->Read();
  }
  const MutexLock lock(mutex_);
  snapshot_ = std::move(snapshot);
}

std::vector<prometheus::MetricFamily> GpuTelemetry::Collect() const {
  GpuSnapshot snapshot;
  {
    const MutexLock lock(mutex_);
    snapshot = snapshot_;
  }
  return GpuFamilies(snapshot);
}

}  // namespace flashcore
