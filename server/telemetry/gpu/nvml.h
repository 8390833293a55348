// NVIDIA's management library, which comes with the driver: loaded where it is there, never linked.
#ifndef FLASHCORE_SERVER_TELEMETRY_GPU_NVML_H_
#define FLASHCORE_SERVER_TELEMETRY_GPU_NVML_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/telemetry/gpu/counter_source.h"
#include "server/telemetry/gpu/device_monitor.h"
#include "server/telemetry/gpu/nvml_api.h"

namespace flashcore {

// The driver's own name for its library.
inline constexpr char kNvmlLibrary[] = "libnvidia-ml.so.1";

// The library, initialised until destruction. Thread-safe, as NVML is.
class NvmlLibrary {
 public:
  // `path` as dlopen takes it. UNAVAILABLE: no such library, one that is too old, or no working driver.
  static absl::StatusOr<std::shared_ptr<const NvmlLibrary>> Load(const std::string& path);
  ~NvmlLibrary();
  NvmlLibrary(const NvmlLibrary&) = delete;
  NvmlLibrary& operator=(const NvmlLibrary&) = delete;

  const nvml::Functions& functions() const { return functions_; }

  // The device in that PCI slot, as cudaDeviceGetPCIBusId writes it. The slot is the one name that CUDA and NVML share:
  // their ordinals differ. UNAVAILABLE: not there, or hidden from this process.
  absl::StatusOr<nvml::Device> FindDevice(const std::string& pci_bus_id) const;

  // PERMISSION_DENIED, UNIMPLEMENTED or INTERNAL with NVML's own words; `what` is the call that said so.
  absl::Status ToStatus(nvml::Return result, absl::string_view what) const;

 private:
  explicit NvmlLibrary(const nvml::Functions& functions) : functions_(functions) {}

  nvml::Functions functions_;
};

// The device in the slot `pci_bus_id`. Errors as NvmlLibrary::FindDevice.
absl::StatusOr<std::unique_ptr<DeviceMonitor>> CreateNvmlMonitor(std::shared_ptr<const NvmlLibrary> library,
                                                                 const std::string& pci_bus_id);

// GPM, the driver's own sampling of the counters, from Hopper on. Several programs may use it at once. `source` is
// nvml.
std::unique_ptr<CounterSource> CreateGpmSource(std::shared_ptr<const NvmlLibrary> library, std::string pci_bus_id);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_GPU_NVML_H_
