// Facts about a GPU that turn counts into ratios.
#ifndef FLASHCORE_SERVER_TELEMETRY_GPU_GPU_DEVICE_H_
#define FLASHCORE_SERVER_TELEMETRY_GPU_GPU_DEVICE_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace flashcore {

struct GpuDevice {
  int ordinal = 0;         // As the CUDA runtime counts.
  std::string pci_bus_id;  // "0000:65:00.0"
  int sm_count = 0;
  int compute_capability = 0;  // 89 for 8.9.
};

// Of the CUDA runtime. UNAVAILABLE: no such device. UNIMPLEMENTED: this build has no CUDA.
absl::StatusOr<GpuDevice> QueryGpuDevice(int ordinal);

// Floating-point operations that all tensor cores together do in one clock of the SMs by `mma.sync`, dense 16-bit in,
// 32-bit sums.
// Absent for a chip that this build does not know.
std::optional<double> TensorFlopsPerClock(const GpuDevice& device);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_GPU_GPU_DEVICE_H_
