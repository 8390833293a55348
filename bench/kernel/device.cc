#include "bench/kernel/device.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <array>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/cuda/runtime.h"

namespace flashcore::bench {
namespace {

std::string CudaVersion(int version) { return absl::StrCat(version / 1000, ".", version % 1000 / 10); }

// NVML's binary interface, as far as it is used here. The library comes with the driver and its header does not.
using NvmlDevice = struct NvmlDeviceStruct*;
constexpr int kNvmlSuccess = 0;
constexpr int kNvmlClockSm = 1;
constexpr int kNvmlClockMemory = 2;
constexpr int kNvmlTemperatureGpu = 0;
constexpr double kMilliwattsPerWatt = 1e3;

struct LibraryClose {
  void operator()(void* library) const { dlclose(library); }
};
using Library = std::unique_ptr<void, LibraryClose>;

// Calls `name` of the library; false if it is not there or fails.
template <typename... Args>
bool Call(const Library& library, const char* name, Args... args) {
  auto* function = reinterpret_cast<int (*)(Args...)>(dlsym(library.get(), name));
  return function != nullptr && function(args...) == kNvmlSuccess;
}

void ReadState(const Library& nvml, const Device& device, DeviceState& state) {
  NvmlDevice handle = nullptr;
  if (!Call(nvml, "nvmlDeviceGetHandleByPciBusId_v2", device.pci_bus_id.c_str(), &handle)) return;
  std::array<char, 96> driver{};
  if (Call(nvml, "nvmlSystemGetDriverVersion", driver.data(), static_cast<unsigned>(driver.size()))) {
    state.driver = driver.data();
  }
  Call(nvml, "nvmlDeviceGetClockInfo", handle, kNvmlClockSm, &state.sm_clock_mhz);
  Call(nvml, "nvmlDeviceGetClockInfo", handle, kNvmlClockMemory, &state.memory_clock_mhz);
  Call(nvml, "nvmlDeviceGetMaxClockInfo", handle, kNvmlClockSm, &state.max_sm_clock_mhz);
  Call(nvml, "nvmlDeviceGetTemperature", handle, kNvmlTemperatureGpu, &state.temperature_celsius);
  unsigned limit_milliwatts = 0;
  Call(nvml, "nvmlDeviceGetEnforcedPowerLimit", handle, &limit_milliwatts);
  state.power_limit_watts = limit_milliwatts / kMilliwattsPerWatt;
}

}  // namespace

absl::StatusOr<Device> OpenDevice(int ordinal) {
  int driver = 0;
  cudaDriverGetVersion(&driver);
  if (driver == 0) return absl::UnavailableError("no NVIDIA driver is installed or visible");
  absl::Status status = cuda::ToStatus(cudaSetDevice(ordinal), absl::StrCat("opening CUDA device ", ordinal));
  cudaDeviceProp properties;
  if (status.ok()) status = cuda::ToStatus(cudaGetDeviceProperties(&properties, ordinal), "asking what the device is");
  std::array<char, 32> bus_id{};
  if (status.ok()) {
    status = cuda::ToStatus(cudaDeviceGetPCIBusId(bus_id.data(), bus_id.size(), ordinal), "asking where the device is");
  }
  if (!status.ok()) return absl::UnavailableError(status.message());
  Device device;
  device.name = properties.name;
  device.compute_capability = absl::StrCat(properties.major, ".", properties.minor);
  device.cuda_driver = CudaVersion(driver);
  device.cuda_runtime = CudaVersion(CUDART_VERSION);
  device.sm_count = properties.multiProcessorCount;
  device.l2_bytes = static_cast<size_t>(properties.l2CacheSize);
  device.shared_bytes_per_sm = properties.sharedMemPerMultiprocessor;
  device.pci_bus_id = bus_id.data();
  return device;
}

DeviceState ReadDeviceState(const Device& device) {
  DeviceState state;
  const Library nvml(dlopen("libnvidia-ml.so.1", RTLD_NOW));
  if (nvml == nullptr || !Call(nvml, "nvmlInit_v2")) return state;
  ReadState(nvml, device, state);
  Call(nvml, "nvmlShutdown");
  return state;
}

}  // namespace flashcore::bench
