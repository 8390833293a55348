// PM sampling as a CounterSource. The GPU writes a record of its counters every kSampleIntervalNs into a ring, which
// each Read empties; a reading is the mean of the records.
#include <array>
#include <cstdint>
#include <optional>
#include <utility>

#include "server/telemetry/gpu/cupti.h"
#include "server/telemetry/gpu/cupti_host.h"

namespace flashcore {
namespace {

// Decoding takes a fifth of a millisecond for a record, so finer sampling would cost CPU time that nobody asked for;
// coarser sampling would come near the range of 32-bit counters.
constexpr uint64_t kSampleIntervalNs = 10'000'000;
// Of the ring that the GPU writes to. It keeps the latest records, for seconds at this interval.
constexpr size_t kHardwareBufferBytes = size_t{32} << 20;
// Records decoded at once: bounds the memory for them.
constexpr uint32_t kSamplesPerImage = 128;

// The mean of those values that are there.
class Mean {
 public:
  void Add(const std::optional<double>& value) {
    if (!value.has_value()) return;
    sum_ += *value;
    ++count_;
  }
  std::optional<double> value() const {
    return count_ == 0 ? std::nullopt : std::optional<double>(sum_ / static_cast<double>(count_));
  }

 private:
  double sum_ = 0;
  int64_t count_ = 0;
};

struct ReadingMean {
  Mean tensor;
  Mean sm;
  Mean dram;

  void Add(const CounterReading& reading) {
    tensor.Add(reading.tensor_ratio);
    sm.Add(reading.sm_ratio);
    dram.Add(reading.dram_ratio);
  }
  CounterReading value() const {
    return {.tensor_ratio = tensor.value(), .sm_ratio = sm.value(), .dram_ratio = dram.value()};
  }
};

class CuptiSource : public CounterSource {
 public:
  explicit CuptiSource(int device_ordinal) : device_index_(static_cast<size_t>(device_ordinal)) {}

  ~CuptiSource() override {
    if (sampler_ == nullptr) return;
    if (started_) {
      auto stop = CuptiParams<CUpti_PmSampling_Stop_Params>(CUpti_PmSampling_Stop_Params_STRUCT_SIZE);
      stop.pPmSamplingObject = sampler_;
      library_->functions().stop(&stop);
    }
    auto disable = CuptiParams<CUpti_PmSampling_Disable_Params>(CUpti_PmSampling_Disable_Params_STRUCT_SIZE);
    disable.pPmSamplingObject = sampler_;
    library_->functions().disable(&disable);
  }

  absl::string_view name() const override { return "cupti"; }

  absl::Status Start() override {
    absl::StatusOr<std::shared_ptr<const CuptiLibrary>> library = CuptiLibrary::Load();
    if (!library.ok()) return library.status();
    library_ = *std::move(library);
    absl::Status status = Initialize();
    if (status.ok()) status = CreateHost();
    if (status.ok()) status = Enable();
    if (status.ok()) status = SetConfig();
    if (status.ok()) status = AllocateImage();
    if (status.ok()) status = ClearImage();
    if (status.ok()) status = StartSampling();
    return status;
  }

  absl::StatusOr<CounterReading> Read() override {
    ReadingMean mean;
    for (bool more = true; more;) {
      const absl::StatusOr<bool> filled = Decode();
      if (!filled.ok()) return filled.status();
      absl::Status status = AddSamples(mean);
      if (status.ok()) status = ClearImage();
      if (!status.ok()) return status;
      more = *filled;
    }
    return mean.value();
  }

 private:
  absl::Status Call(CUptiResult result, absl::string_view what) const { return library_->ToStatus(result, what); }

  absl::Status Initialize() const {
    auto params = CuptiParams<CUpti_Profiler_Initialize_Params>(CUpti_Profiler_Initialize_Params_STRUCT_SIZE);
    return Call(library_->functions().initialize(&params), "cuptiProfilerInitialize");
  }

  absl::StatusOr<std::vector<uint8_t>> Availability() const {
    auto params = CuptiParams<CUpti_PmSampling_GetCounterAvailability_Params>(
        CUpti_PmSampling_GetCounterAvailability_Params_STRUCT_SIZE);
    params.deviceIndex = device_index_;
    const auto call = [&] {
      return Call(library_->functions().availability(&params), "cuptiPmSamplingGetCounterAvailability");
    };
    // Once for the size, once for the image.
    if (absl::Status status = call(); !status.ok()) return status;
    std::vector<uint8_t> image(params.counterAvailabilityImageSize);
    params.pCounterAvailabilityImage = image.data();
    if (absl::Status status = call(); !status.ok()) return status;
    return image;
  }

  absl::Status CreateHost() {
    auto chip = CuptiParams<CUpti_Device_GetChipName_Params>(CUpti_Device_GetChipName_Params_STRUCT_SIZE);
    chip.deviceIndex = device_index_;
    absl::Status status = Call(library_->functions().chip_name(&chip), "cuptiDeviceGetChipName");
    if (!status.ok()) return status;
    const absl::StatusOr<std::vector<uint8_t>> availability = Availability();
    if (!availability.ok()) return availability.status();
    absl::StatusOr<std::unique_ptr<CuptiHost>> host = CuptiHost::Create(library_, chip.pChipName, *availability);
    if (!host.ok()) return host.status();
    host_ = *std::move(host);
    return absl::OkStatus();
  }

  absl::Status Enable() {
    auto params = CuptiParams<CUpti_PmSampling_Enable_Params>(CUpti_PmSampling_Enable_Params_STRUCT_SIZE);
    params.deviceIndex = device_index_;
    absl::Status status = Call(library_->functions().enable(&params), "cuptiPmSamplingEnable");
    if (status.ok()) sampler_ = params.pPmSamplingObject;
    return status;
  }

  absl::Status SetConfig() const {
    auto params = CuptiParams<CUpti_PmSampling_SetConfig_Params>(CUpti_PmSampling_SetConfig_Params_STRUCT_SIZE);
    params.pPmSamplingObject = sampler_;
    params.configSize = host_->config_image().size();
    params.pConfig = host_->config_image().data();
    params.hardwareBufferSize = kHardwareBufferBytes;
    params.samplingInterval = kSampleIntervalNs;
    params.triggerMode = CUPTI_PM_SAMPLING_TRIGGER_MODE_GPU_TIME_INTERVAL;
    params.hwBufferAppendMode = CUPTI_PM_SAMPLING_HARDWARE_BUFFER_APPEND_MODE_KEEP_LATEST;
    return Call(library_->functions().set_config(&params), "cuptiPmSamplingSetConfig");
  }

  absl::Status AllocateImage() {
    std::vector<const char*> names = host_->metrics();
    auto params =
        CuptiParams<CUpti_PmSampling_GetCounterDataSize_Params>(CUpti_PmSampling_GetCounterDataSize_Params_STRUCT_SIZE);
    params.pPmSamplingObject = sampler_;
    params.pMetricNames = names.data();
    params.numMetrics = names.size();
    params.maxSamples = kSamplesPerImage;
    absl::Status status = Call(library_->functions().data_size(&params), "cuptiPmSamplingGetCounterDataSize");
    if (status.ok()) image_.resize(params.counterDataSize);
    return status;
  }

  absl::Status ClearImage() {
    auto params = CuptiParams<CUpti_PmSampling_CounterDataImage_Initialize_Params>(
        CUpti_PmSampling_CounterDataImage_Initialize_Params_STRUCT_SIZE);
    params.pPmSamplingObject = sampler_;
    params.counterDataSize = image_.size();
    params.pCounterData = image_.data();
    return Call(library_->functions().data_initialize(&params), "cuptiPmSamplingCounterDataImageInitialize");
  }

  absl::Status StartSampling() {
    auto params = CuptiParams<CUpti_PmSampling_Start_Params>(CUpti_PmSampling_Start_Params_STRUCT_SIZE);
    params.pPmSamplingObject = sampler_;
    absl::Status status = Call(library_->functions().start(&params), "cuptiPmSamplingStart");
    started_ = status.ok();
    return status;
  }

  // From the ring into the image. True: the image is full, and there is more in the ring.
  absl::StatusOr<bool> Decode() {
    auto params = CuptiParams<CUpti_PmSampling_DecodeData_Params>(CUpti_PmSampling_DecodeData_Params_STRUCT_SIZE);
    params.pPmSamplingObject = sampler_;
    params.pCounterDataImage = image_.data();
    params.counterDataImageSize = image_.size();
    const absl::Status status = Call(library_->functions().decode(&params), "cuptiPmSamplingDecodeData");
    if (!status.ok()) return status;
    return params.decodeStopReason == CUPTI_PM_SAMPLING_DECODE_STOP_REASON_COUNTER_DATA_FULL;
  }

  absl::Status AddSamples(ReadingMean& mean) const {
    auto info =
        CuptiParams<CUpti_PmSampling_GetCounterDataInfo_Params>(CUpti_PmSampling_GetCounterDataInfo_Params_STRUCT_SIZE);
    info.pCounterDataImage = image_.data();
    info.counterDataImageSize = image_.size();
    absl::Status status = Call(library_->functions().data_info(&info), "cuptiPmSamplingGetCounterDataInfo");
    for (size_t sample = 0; status.ok() && sample < info.numCompletedSamples; ++sample) {
      const absl::StatusOr<CounterReading> reading = host_->Evaluate(image_, sample);
      if (reading.ok()) mean.Add(*reading);
      status = reading.status();
    }
    return status;
  }

  const size_t device_index_;
  std::shared_ptr<const CuptiLibrary> library_;
  std::unique_ptr<CuptiHost> host_;
  CUpti_PmSampling_Object* sampler_ = nullptr;
  bool started_ = false;
  std::vector<uint8_t> image_;
};

}  // namespace

absl::StatusOr<CuptiPlan> PlanCuptiCounters(const std::string& chip) {
  const absl::StatusOr<std::shared_ptr<const CuptiLibrary>> library = CuptiLibrary::Load();
  if (!library.ok()) return library.status();
  const absl::StatusOr<std::unique_ptr<CuptiHost>> host = CuptiHost::Create(*library, chip, {});
  if (!host.ok()) return host.status();
  return CuptiPlan{.metrics = {(*host)->metrics().begin(), (*host)->metrics().end()}, .passes = (*host)->passes()};
}

std::unique_ptr<CounterSource> CreateCuptiSource(int device_ordinal) {
  return std::make_unique<CuptiSource>(device_ordinal);
}

}  // namespace flashcore
