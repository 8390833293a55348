#include "server/telemetry/gpu/gpu_telemetry.h"

#include <utility>

namespace flashcore {

GpuTelemetry::GpuTelemetry(int ordinal, std::shared_ptr<DeviceMonitor> monitor, CounterChain chain)
    : ordinal_(ordinal), monitor_(std::move(monitor)), chain_(std::move(chain)) {}

void GpuTelemetry::Sample() {
  if (!std::exchange(started_, true)) chain_.Start();
  GpuSnapshot snapshot;
  snapshot.ordinal = ordinal_;
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

GpuSnapshot GpuTelemetry::snapshot() const {
  const MutexLock lock(mutex_);
  return snapshot_;
}

}  // namespace flashcore
