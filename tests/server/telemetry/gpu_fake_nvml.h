// What the fake of NVML, a shared library of its own, says. A test finds it as the symbol fake_nvml.
#ifndef FLASHCORE_TESTS_SERVER_TELEMETRY_GPU_FAKE_NVML_H_
#define FLASHCORE_TESTS_SERVER_TELEMETRY_GPU_FAKE_NVML_H_

#include <vector>

#include "server/telemetry/gpu/nvml_api.h"

namespace flashcore {

struct FakeNvml {
  nvml::Return init = nvml::kSuccess;
  nvml::Return reading = nvml::kSuccess;     // Of every getter of the device.
  nvml::Return gpm_sample = nvml::kSuccess;  // Of nvmlGpmSampleGet.
  nvml::Return gpm_dram = nvml::kSuccess;    // Of GPM's DRAM metric alone.
  bool has_gpm = true;
  std::vector<uint64_t> xids;  // Events to come.

  int initialised = 0;  // Calls of nvmlInit less calls of nvmlShutdown.
  int gpm_samples = 0;  // Allocated and not freed.
};

}  // namespace flashcore

#endif  // FLASHCORE_TESTS_SERVER_TELEMETRY_GPU_FAKE_NVML_H_
