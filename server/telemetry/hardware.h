// The one call that starts watching whatever computes: a GPU, or this process's share of the CPUs.
#ifndef FLASHCORE_SERVER_TELEMETRY_HARDWARE_H_
#define FLASHCORE_SERVER_TELEMETRY_HARDWARE_H_

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "prometheus/collectable.h"
#include "server/telemetry/periodic_task.h"

namespace flashcore {

struct HardwareOptions {
  // Which sources of GPU counters are tried, in this order: cupti, nvml, estimate. auto: all; one of these names: only
  // it; off: none.
  std::string gpu_counters = "auto";
  // From the start of one sample to the next.
  std::chrono::nanoseconds period = std::chrono::seconds(1);
  // Whether a GPU computes, and which one, as the CUDA runtime counts.
  bool gpu = false;
  int device_ordinal = 0;
  // Whether the GPU's kernel computes on tensor cores. Without, nothing is estimated.
  bool tensor_cores = true;
  // Floating-point operations computed so far. Thread-safe; called for as long as the HardwareTelemetry lives.
  std::function<double()> flops = nullptr;
};

// Samples on a thread of its own until destruction, which waits for a sample in progress. Never fails: what cannot be
// told is logged once, and absent.
class HardwareTelemetry {
 public:
  explicit HardwareTelemetry(const HardwareOptions& options);

  // The series of the latest sample. Thread-safe; lives on after the HardwareTelemetry.
  const std::shared_ptr<prometheus::Collectable>& collectable() const { return collectable_; }

 private:
  std::shared_ptr<prometheus::Collectable> collectable_;
  std::unique_ptr<PeriodicTask> task_;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_HARDWARE_H_
