#include "server/telemetry/gpu/nvml.h"

#include "absl/strings/str_cat.h"
#include "server/telemetry/gpu/dynamic_library.h"

namespace flashcore {
namespace {

// Newer names first, as NVML renames what it keeps.
absl::Status FindRequired(const DynamicLibrary& library, nvml::Functions& functions) {
  absl::Status status = library.Require("nvmlInit_v2", functions.init);
  status.Update(library.Require("nvmlShutdown", functions.shutdown));
  status.Update(library.Require("nvmlErrorString", functions.error_string));
  status.Update(library.Require("nvmlDeviceGetHandleByPciBusId_v2", functions.handle_by_pci_bus_id));
  return status;
}

void FindOptional(const DynamicLibrary& library, nvml::Functions& functions) {
  library.Find("nvmlSystemGetDriverVersion", functions.driver_version);
  library.Find("nvmlDeviceGetName", functions.name);
  library.Find("nvmlDeviceGetUUID", functions.uuid);
  library.Find("nvmlDeviceGetUtilizationRates", functions.utilization);
  library.Find("nvmlDeviceGetMemoryInfo", functions.memory);
  library.Find("nvmlDeviceGetPowerUsage", functions.power_milliwatts);
  library.Find("nvmlDeviceGetEnforcedPowerLimit", functions.power_limit_milliwatts);
  library.Find("nvmlDeviceGetTotalEnergyConsumption", functions.energy_millijoules);
  library.Find("nvmlDeviceGetClockInfo", functions.clock_megahertz);
  library.Find("nvmlDeviceGetMaxClockInfo", functions.max_clock_megahertz);
  library.Find("nvmlDeviceGetTemperature", functions.temperature_celsius);
  library.Find("nvmlDeviceGetCurrentClocksEventReasons", functions.throttle_reasons);
  if (functions.throttle_reasons == nullptr) {
    library.Find("nvmlDeviceGetCurrentClocksThrottleReasons", functions.throttle_reasons);
  }
  library.Find("nvmlDeviceGetPcieThroughput", functions.pcie_kib_per_second);
  library.Find("nvmlDeviceGetTotalEccErrors", functions.ecc_errors);
  library.Find("nvmlEventSetCreate", functions.event_set_create);
  library.Find("nvmlEventSetFree", functions.event_set_free);
  library.Find("nvmlDeviceRegisterEvents", functions.register_events);
  library.Find("nvmlEventSetWait_v2", functions.event_set_wait);
  library.Find("nvmlGpmQueryDeviceSupport", functions.gpm_support);
  library.Find("nvmlGpmSampleAlloc", functions.gpm_sample_alloc);
  library.Find("nvmlGpmSampleFree", functions.gpm_sample_free);
  library.Find("nvmlGpmSampleGet", functions.gpm_sample_get);
  library.Find("nvmlGpmMetricsGet", functions.gpm_metrics_get);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const NvmlLibrary>> NvmlLibrary::Load(const std::string& path) {
  const absl::StatusOr<DynamicLibrary> library = DynamicLibrary::Open({path});
  if (!library.ok()) return library.status();
  nvml::Functions functions = {};
  if (absl::Status status = FindRequired(*library, functions); !status.ok()) return status;
  FindOptional(*library, functions);
  if (const nvml::Return result = functions.init(); result != nvml::kSuccess) {
    return absl::UnavailableError(absl::StrCat("nvmlInit: ", functions.error_string(result)));
  }
  return std::shared_ptr<const NvmlLibrary>(new NvmlLibrary(functions));
}

NvmlLibrary::~NvmlLibrary() { functions_.shutdown(); }

absl::StatusOr<nvml::Device> NvmlLibrary::FindDevice(const std::string& pci_bus_id) const {
  nvml::Device device = nullptr;
  const nvml::Return result = functions_.handle_by_pci_bus_id(pci_bus_id.c_str(), &device);
  if (result == nvml::kSuccess) return device;
  return absl::UnavailableError(absl::StrCat("no GPU at ", pci_bus_id, ": ", functions_.error_string(result)));
}

absl::Status NvmlLibrary::ToStatus(nvml::Return result, absl::string_view what) const {
  if (result == nvml::kSuccess) return absl::OkStatus();
  const std::string text = absl::StrCat(what, ": ", functions_.error_string(result));
  switch (result) {
    case nvml::kNoPermission:
      return absl::PermissionDeniedError(text);
    case nvml::kNotSupported:
      return absl::UnimplementedError(text);
    default:
      return absl::InternalError(text);
  }
}

}  // namespace flashcore
