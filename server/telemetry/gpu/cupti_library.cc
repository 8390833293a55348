#include "server/telemetry/gpu/cupti_library.h"

#include <cuda.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/telemetry/gpu/dynamic_library.h"

namespace flashcore {
namespace {

constexpr int kVersionsPerMajor = 1000;  // CUDA_VERSION of 13.0 is 13000.

// The loader's own places first, which include the folder of the libraries that were installed with the server.
std::vector<std::string> LibraryNames() {
  const std::string name = absl::StrCat("libcupti.so.", CUDA_VERSION / kVersionsPerMajor);
  return {name, absl::StrCat("/usr/local/cuda/lib64/", name),
          absl::StrCat("/usr/local/cuda/extras/CUPTI/lib64/", name)};
}

absl::Status FindHost(const DynamicLibrary& library, CuptiFunctions& functions) {
  absl::Status status = library.Require("cuptiGetResultString", functions.result_string);
  status.Update(library.Require("cuptiProfilerInitialize", functions.initialize));
  status.Update(library.Require("cuptiDeviceGetChipName", functions.chip_name));
  status.Update(library.Require("cuptiProfilerHostInitialize", functions.host_initialize));
  status.Update(library.Require("cuptiProfilerHostDeinitialize", functions.host_deinitialize));
  status.Update(library.Require("cuptiProfilerHostConfigAddMetrics", functions.add_metrics));
  status.Update(library.Require("cuptiProfilerHostGetConfigImageSize", functions.config_size));
  status.Update(library.Require("cuptiProfilerHostGetConfigImage", functions.config_image));
  status.Update(library.Require("cuptiProfilerHostGetNumOfPasses", functions.num_passes));
  status.Update(library.Require("cuptiProfilerHostEvaluateToGpuValues", functions.evaluate));
  return status;
}

absl::Status FindSampling(const DynamicLibrary& library, CuptiFunctions& functions) {
  absl::Status status = library.Require("cuptiPmSamplingGetCounterAvailability", functions.availability);
  status.Update(library.Require("cuptiPmSamplingEnable", functions.enable));
  status.Update(library.Require("cuptiPmSamplingDisable", functions.disable));
  status.Update(library.Require("cuptiPmSamplingSetConfig", functions.set_config));
  status.Update(library.Require("cuptiPmSamplingGetCounterDataSize", functions.data_size));
  status.Update(library.Require("cuptiPmSamplingCounterDataImageInitialize", functions.data_initialize));
  status.Update(library.Require("cuptiPmSamplingStart", functions.start));
  status.Update(library.Require("cuptiPmSamplingStop", functions.stop));
  status.Update(library.Require("cuptiPmSamplingDecodeData", functions.decode));
  status.Update(library.Require("cuptiPmSamplingGetCounterDataInfo", functions.data_info));
  return status;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const CuptiLibrary>> CuptiLibrary::Load() {
  const std::vector<std::string> names = LibraryNames();
  const absl::StatusOr<DynamicLibrary> library = DynamicLibrary::Open(names);
  if (!library.ok()) return library.status();
  CuptiFunctions functions = {};
  absl::Status status = FindHost(*library, functions);
  status.Update(FindSampling(*library, functions));
  if (!status.ok()) return status;
  return std::shared_ptr<const CuptiLibrary>(new CuptiLibrary(functions));
}

absl::Status CuptiLibrary::ToStatus(CUptiResult result, absl::string_view what) const {
  if (result == CUPTI_SUCCESS) return absl::OkStatus();
  const char* name = nullptr;
  functions_.result_string(result, &name);
  const std::string text = absl::StrCat(what, ": ", name != nullptr ? name : "unknown error");
  switch (result) {
    case CUPTI_ERROR_INSUFFICIENT_PRIVILEGES:
    case CUPTI_ERROR_VIRTUALIZED_DEVICE_INSUFFICIENT_PRIVILEGES:
      return absl::PermissionDeniedError(absl::StrCat(
          text,
          "; load the driver with NVreg_RestrictProfilingToAdminUsers=0, or give the server the capability SYS_ADMIN"));
    case CUPTI_ERROR_HARDWARE_BUSY:
      return absl::UnavailableError(
          absl::StrCat(text, "; another program, such as DCGM or Nsight, holds the counters"));
    case CUPTI_ERROR_NOT_SUPPORTED:
    case CUPTI_ERROR_INVALID_METRIC_NAME:
      return absl::UnimplementedError(text);
    default:
      return absl::InternalError(text);
  }
}

}  // namespace flashcore
