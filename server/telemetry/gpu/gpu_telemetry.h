// A GPU's series: sampled on a thread of its own, told to whoever scrapes.
#ifndef FLASHCORE_SERVER_TELEMETRY_GPU_GPU_TELEMETRY_H_
#define FLASHCORE_SERVER_TELEMETRY_GPU_GPU_TELEMETRY_H_

#include <memory>
#include <string>
#include <vector>

#include "kernels/base/mutex.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"
#include "server/telemetry/gpu/counter_chain.h"
#include "server/telemetry/gpu/counter_source.h"
#include "server/telemetry/gpu/device_monitor.h"

namespace flashcore {

// What one sample found out.
struct GpuSnapshot {
  DeviceIdentity identity;
  DeviceReading device;
  CounterReading counters;
  std::string source;  // Of the counters; empty if none.
  std::vector<SourceStatus> statuses;
};

// The series of a snapshot; what is absent in it has none.
std::vector<prometheus::MetricFamily> GpuFamilies(const GpuSnapshot& snapshot);

// Thread-safe: one thread samples while others collect.
class GpuTelemetry : public prometheus::Collectable {
 public:
  // `monitor` may be null, where the driver's library is missing.
  GpuTelemetry(std::shared_ptr<DeviceMonitor> monitor, CounterChain chain);

  // Takes a sample, the first time also starting the counters. Blocks for some tens of milliseconds, the first time for
  // up to a few seconds; never with the lock held. One thread at a time.
  void Sample();

  // The latest sample's series; none before the first.
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  std::shared_ptr<DeviceMonitor> monitor_;
  CounterChain chain_;
  bool started_ = false;

  mutable Mutex mutex_;
  GpuSnapshot snapshot_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_GPU_GPU_TELEMETRY_H_
