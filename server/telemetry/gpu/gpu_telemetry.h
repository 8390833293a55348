// GPUs' series: sampled on a thread for each GPU, told to whoever scrapes.
#ifndef FLASHCORE_SERVER_TELEMETRY_GPU_GPU_TELEMETRY_H_
#define FLASHCORE_SERVER_TELEMETRY_GPU_GPU_TELEMETRY_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "kernels/base/mutex.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"
#include "server/telemetry/gpu/counter_chain.h"
#include "server/telemetry/gpu/counter_source.h"
#include "server/telemetry/gpu/device_monitor.h"

namespace flashcore {

// What one sample found out.
struct GpuSnapshot {
  int ordinal = 0;  // The label `device`: as the CUDA runtime counts.
  DeviceIdentity identity;
  DeviceReading device;
  CounterReading counters;
  std::string source;  // Of the counters; empty if none.
  std::vector<SourceStatus> statuses;
};

// One GPU. Thread-safe: one thread samples while others ask for the snapshot.
class GpuTelemetry {
 public:
  // `monitor` may be null, where the driver's library is missing.
  GpuTelemetry(int ordinal, std::shared_ptr<DeviceMonitor> monitor, CounterChain chain);

  // Takes a sample, the first time also starting the counters. Blocks for some tens of milliseconds, the first time for
  // up to a few seconds; never with the lock held. One thread at a time.
  void Sample();

  // The latest sample; an empty one before the first.
  GpuSnapshot snapshot() const;

 private:
  const int ordinal_;
  std::shared_ptr<DeviceMonitor> monitor_;
  CounterChain chain_;
  bool started_ = false;

  mutable Mutex mutex_;
  GpuSnapshot snapshot_ ABSL_GUARDED_BY(mutex_);
};

// The series of these snapshots; what is absent in one has none.
std::vector<prometheus::MetricFamily> GpuFamilies(absl::Span<const GpuSnapshot> snapshots);

// The series of these GPUs' latest samples. Thread-safe.
std::shared_ptr<prometheus::Collectable> CreateGpuCollectable(std::vector<std::shared_ptr<const GpuTelemetry>> gpus);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_GPU_GPU_TELEMETRY_H_
