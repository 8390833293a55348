// CUPTI's functions, and its errors as absl::Status. Only in builds that have its header.
#ifndef FLASHCORE_SERVER_TELEMETRY_GPU_CUPTI_LIBRARY_H_
#define FLASHCORE_SERVER_TELEMETRY_GPU_CUPTI_LIBRARY_H_

#include <cupti_pmsampling.h>
#include <cupti_profiler_host.h>
#include <cupti_profiler_target.h>
#include <cupti_result.h>
#include <cupti_target.h>

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace flashcore {

// None is null.
struct CuptiFunctions {
  decltype(&cuptiGetResultString) result_string;
  decltype(&cuptiProfilerInitialize) initialize;
  decltype(&cuptiDeviceGetChipName) chip_name;
  decltype(&cuptiProfilerHostInitialize) host_initialize;
  decltype(&cuptiProfilerHostDeinitialize) host_deinitialize;
  decltype(&cuptiProfilerHostConfigAddMetrics) add_metrics;
  decltype(&cuptiProfilerHostGetConfigImageSize) config_size;
  decltype(&cuptiProfilerHostGetConfigImage) config_image;
  decltype(&cuptiProfilerHostGetNumOfPasses) num_passes;
  decltype(&cuptiProfilerHostEvaluateToGpuValues) evaluate;
  decltype(&cuptiPmSamplingGetCounterAvailability) availability;
  decltype(&cuptiPmSamplingEnable) enable;
  decltype(&cuptiPmSamplingDisable) disable;
  decltype(&cuptiPmSamplingSetConfig) set_config;
  decltype(&cuptiPmSamplingGetCounterDataSize) data_size;
  decltype(&cuptiPmSamplingCounterDataImageInitialize) data_initialize;
  decltype(&cuptiPmSamplingStart) start;
  decltype(&cuptiPmSamplingStop) stop;
  decltype(&cuptiPmSamplingDecodeData) decode;
  decltype(&cuptiPmSamplingGetCounterDataInfo) data_info;
};

// Thread-safe.
class CuptiLibrary {
 public:
  // The version that this build was compiled for. UNAVAILABLE: not installed.
  static absl::StatusOr<std::shared_ptr<const CuptiLibrary>> Load();

  const CuptiFunctions& functions() const { return functions_; }

  // PERMISSION_DENIED with what to do about it, UNAVAILABLE when another program holds the counters, UNIMPLEMENTED for
  // what the chip lacks, else INTERNAL; `what` is the call that said so.
  absl::Status ToStatus(CUptiResult result, absl::string_view what) const;

 private:
  explicit CuptiLibrary(const CuptiFunctions& functions) : functions_(functions) {}

  CuptiFunctions functions_;
};

// Parameters of a call, all zero but for their size, which is how CUPTI knows which version of them it gets.
template <typename Params>
Params CuptiParams(size_t size) {
  Params params = {};
  params.structSize = size;
  return params;
}

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_GPU_CUPTI_LIBRARY_H_
