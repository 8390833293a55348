// The device that a benchmark ran on, for the record.
#ifndef FLASHCORE_BENCH_KERNEL_DEVICE_H_
#define FLASHCORE_BENCH_KERNEL_DEVICE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace flashcore::bench {

struct Device {
  std::string name;
  std::string compute_capability;
  std::string cuda_driver;   // The newest CUDA that the driver knows.
  std::string cuda_runtime;  // What this program was built with.
  int sm_count = 0;
  size_t l2_bytes = 0;
  size_t shared_bytes_per_sm = 0;
  std::string pci_bus_id;
};

// Makes the device current. UNAVAILABLE: there is none; says why.
absl::StatusOr<Device> OpenDevice(int ordinal);

// The driver's view of a running device, by NVML; what it cannot tell is 0 or "".
struct DeviceState {
  std::string driver;
  unsigned sm_clock_mhz = 0;
  unsigned memory_clock_mhz = 0;
  unsigned max_sm_clock_mhz = 0;
  double power_limit_watts = 0.0;
  unsigned temperature_celsius = 0;
};
DeviceState ReadDeviceState(const Device& device);

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_KERNEL_DEVICE_H_
