#include "server/telemetry/gpu/cupti_host.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace flashcore {
namespace {

constexpr double kRatioPerPercent = 1e-2;
constexpr size_t kTensorIndex = 0;
constexpr size_t kSmIndex = 1;
constexpr size_t kDramIndex = 2;
constexpr size_t kMaxMetrics = 3;

// Ada renamed the tensor pipes' metric and deprecates the old name; the other chips have only the old one.
constexpr const char* kTensorNew = "sm__pipe_tensor_cycles_active_v2.avg.pct_of_peak_sustained_elapsed";
constexpr const char* kTensor = "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_elapsed";
constexpr const char* kSm = "sm__cycles_active.avg.pct_of_peak_sustained_elapsed";
constexpr const char* kDram = "dram__throughput.avg.pct_of_peak_sustained_elapsed";

std::array<std::vector<const char*>, 4> Candidates() {
  return {{{kTensorNew, kSm, kDram}, {kTensor, kSm, kDram}, {kTensorNew, kSm}, {kTensor, kSm}}};
}

std::optional<double> ToRatio(double percent) {
  if (!std::isfinite(percent)) return std::nullopt;
  return std::clamp(percent * kRatioPerPercent, 0.0, 1.0);
}

}  // namespace

absl::StatusOr<std::unique_ptr<CuptiHost>> CuptiHost::Create(const std::shared_ptr<const CuptiLibrary>& library,
                                                             const std::string& chip,
                                                             absl::Span<const uint8_t> availability) {
  std::string refusals;
  for (const std::vector<const char*>& metrics : Candidates()) {
    // A refused name spoils the object for all later ones, so each attempt gets its own.
    std::unique_ptr<CuptiHost> host(new CuptiHost(library, metrics));
    const absl::Status status = host->Configure(chip, availability);
    if (status.ok() && host->passes_ == 1) return host;
    absl::StrAppend(&refusals, refusals.empty() ? "" : "; ",
                    status.ok() ? absl::StrCat(host->passes_, " passes") : std::string(status.message()));
  }
  return absl::UnimplementedError(absl::StrCat("no set of metrics schedules in one pass on ", chip, ": ", refusals));
}

CuptiHost::~CuptiHost() {
  if (object_ == nullptr) return;
  auto params =
      CuptiParams<CUpti_Profiler_Host_Deinitialize_Params>(CUpti_Profiler_Host_Deinitialize_Params_STRUCT_SIZE);
  params.pHostObject = object_;
  library_->functions().host_deinitialize(&params);
}

absl::Status CuptiHost::Configure(const std::string& chip, absl::Span<const uint8_t> availability) {
  const CuptiFunctions& cupti = library_->functions();
  auto initialize =
      CuptiParams<CUpti_Profiler_Host_Initialize_Params>(CUpti_Profiler_Host_Initialize_Params_STRUCT_SIZE);
  initialize.profilerType = CUPTI_PROFILER_TYPE_PM_SAMPLING;
  initialize.pChipName = chip.c_str();
  initialize.pCounterAvailabilityImage = availability.empty() ? nullptr : availability.data();
  absl::Status status = library_->ToStatus(cupti.host_initialize(&initialize), "cuptiProfilerHostInitialize");
  if (!status.ok()) return status;
  object_ = initialize.pHostObject;

  auto add =
      CuptiParams<CUpti_Profiler_Host_ConfigAddMetrics_Params>(CUpti_Profiler_Host_ConfigAddMetrics_Params_STRUCT_SIZE);
  add.pHostObject = object_;
  add.ppMetricNames = metrics_.data();
  add.numMetrics = metrics_.size();
  status = library_->ToStatus(cupti.add_metrics(&add), "cuptiProfilerHostConfigAddMetrics");
  return status.ok() ? ReadConfigImage() : status;
}

absl::Status CuptiHost::ReadConfigImage() {
  const CuptiFunctions& cupti = library_->functions();
  auto size = CuptiParams<CUpti_Profiler_Host_GetConfigImageSize_Params>(
      CUpti_Profiler_Host_GetConfigImageSize_Params_STRUCT_SIZE);
  size.pHostObject = object_;
  absl::Status status = library_->ToStatus(cupti.config_size(&size), "cuptiProfilerHostGetConfigImageSize");
  if (!status.ok()) return status;

  config_image_.resize(size.configImageSize);
  auto image =
      CuptiParams<CUpti_Profiler_Host_GetConfigImage_Params>(CUpti_Profiler_Host_GetConfigImage_Params_STRUCT_SIZE);
  image.pHostObject = object_;
  image.configImageSize = config_image_.size();
  image.pConfigImage = config_image_.data();
  status = library_->ToStatus(cupti.config_image(&image), "cuptiProfilerHostGetConfigImage");
  if (!status.ok()) return status;

  auto passes =
      CuptiParams<CUpti_Profiler_Host_GetNumOfPasses_Params>(CUpti_Profiler_Host_GetNumOfPasses_Params_STRUCT_SIZE);
  passes.configImageSize = config_image_.size();
  passes.pConfigImage = config_image_.data();
  status = library_->ToStatus(cupti.num_passes(&passes), "cuptiProfilerHostGetNumOfPasses");
  passes_ = passes.numOfPasses;
  return status;
}

absl::StatusOr<CounterReading> CuptiHost::Evaluate(absl::Span<const uint8_t> image, size_t sample) const {
  std::array<double, kMaxMetrics> percents = {};
  auto params = CuptiParams<CUpti_Profiler_Host_EvaluateToGpuValues_Params>(
      CUpti_Profiler_Host_EvaluateToGpuValues_Params_STRUCT_SIZE);
  std::vector<const char*> names = metrics_;
  params.pHostObject = object_;
  params.pCounterDataImage = image.data();
  params.counterDataImageSize = image.size();
  params.rangeIndex = sample;
  params.ppMetricNames = names.data();
  params.numMetrics = names.size();
  params.pMetricValues = percents.data();
  const absl::Status status =
      library_->ToStatus(library_->functions().evaluate(&params), "cuptiProfilerHostEvaluateToGpuValues");
  if (!status.ok()) return status;
  CounterReading reading = {
      .tensor_ratio = ToRatio(percents[kTensorIndex]), .sm_ratio = ToRatio(percents[kSmIndex]), .dram_ratio = {}};
  if (metrics_.size() > kDramIndex) reading.dram_ratio = ToRatio(percents[kDramIndex]);
  return reading;
}

}  // namespace flashcore
