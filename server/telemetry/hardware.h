// The one call that starts watching whatever computes: GPUs, or this process on its CPUs.
#ifndef FLASHCORE_SERVER_TELEMETRY_HARDWARE_H_
#define FLASHCORE_SERVER_TELEMETRY_HARDWARE_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "prometheus/collectable.h"
#include "server/telemetry/periodic_task.h"

namespace flashcore {

struct HardwareOptions {
  // Which sources of GPU counters are tried, in this order: cupti, nvml, estimate. auto: all; one of these names: only
  // it; off: none.
  std::string gpu_counters = "auto";
  // From the start of one sample to the next.
  std::chrono::nanoseconds period = std::chrono::seconds(1);
  // The GPUs that compute, as the CUDA runtime counts; none: the CPUs do.
  std::vector<int> gpus = {};
  // Whether the GPU's kernel computes on tensor cores. Without, nothing is estimated.
  bool tensor_cores = true;
  // Floating-point operations computed so far by the GPU at that position of `gpus`. Thread-safe; called for as long as
  // the HardwareTelemetry lives.
  std::function<double(size_t)> flops = nullptr;
};

// Samples on a thread for each GPU until destruction, which waits for samples in progress. Never fails: what cannot be
// told is logged once, and absent.
class HardwareTelemetry {
 public:
  explicit HardwareTelemetry(const HardwareOptions& options);

  // The series of the latest sample. Thread-safe; lives on after the HardwareTelemetry.
  const std::shared_ptr<prometheus::Collectable>& collectable() const { return collectable_; }

 private:
  std::shared_ptr<prometheus::Collectable> collectable_;
  std::vector<std::unique_ptr<PeriodicTask>> tasks_;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_HARDWARE_H_
