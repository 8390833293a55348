// NVML's GPM as a CounterSource: two snapshots of the counters, and the driver's difference of them.
#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "server/telemetry/gpu/nvml.h"

namespace flashcore {
namespace {

constexpr double kRatioPerPercent = 1e-2;

std::optional<double> ToRatio(const nvml::GpmMetric& metric) {
  if (metric.status != nvml::kSuccess) return std::nullopt;
  return std::clamp(metric.value * kRatioPerPercent, 0.0, 1.0);
}

class GpmSource : public CounterSource {
 public:
  GpmSource(std::shared_ptr<const NvmlLibrary> library, std::string pci_bus_id)
      : library_(std::move(library)), functions_(library_->functions()), pci_bus_id_(std::move(pci_bus_id)) {}

  ~GpmSource() override {
    for (const nvml::GpmSample sample : {before_, after_}) {
      if (sample != nullptr) functions_.gpm_sample_free(sample);
    }
  }

  absl::string_view name() const override { return "nvml"; }

  absl::Status Start() override {
    if (functions_.gpm_support == nullptr || functions_.gpm_sample_alloc == nullptr ||
        functions_.gpm_sample_free == nullptr || functions_.gpm_sample_get == nullptr ||
        functions_.gpm_metrics_get == nullptr) {
      return absl::UnavailableError("the driver's NVML is too old for GPM");
    }
    const absl::StatusOr<nvml::Device> device = library_->FindDevice(pci_bus_id_);
    if (!device.ok()) return device.status();
    device_ = *device;
    absl::Status status = CheckSupport();
    if (status.ok()) status = Allocate(before_);
    if (status.ok()) status = Allocate(after_);
    if (status.ok()) status = Take(before_);
    return status;
  }

  absl::StatusOr<CounterReading> Read() override {
    if (absl::Status status = Take(after_); !status.ok()) return status;
    const std::array ids = {nvml::kGpmAnyTensorUtil, nvml::kGpmSmUtil, nvml::kGpmDramBandwidthUtil};
    metrics_.version = nvml::kGpmVersion;
    metrics_.num_metrics = ids.size();
    metrics_.before = before_;
    metrics_.after = after_;
    for (size_t i = 0; i < ids.size(); ++i) metrics_.metrics[i].id = ids[i];
    const nvml::Return result = functions_.gpm_metrics_get(&metrics_);
    if (result != nvml::kSuccess) return library_->ToStatus(result, "nvmlGpmMetricsGet");
    std::swap(before_, after_);
    return CounterReading{.tensor_ratio = ToRatio(metrics_.metrics[0]),
                          .sm_ratio = ToRatio(metrics_.metrics[1]),
                          .dram_ratio = ToRatio(metrics_.metrics[2])};
  }

 private:
  absl::Status CheckSupport() const {
    nvml::GpmSupport support = {.version = nvml::kGpmSupportVersion, .is_supported = 0};
    const nvml::Return result = functions_.gpm_support(device_, &support);
    if (result != nvml::kSuccess) return library_->ToStatus(result, "nvmlGpmQueryDeviceSupport");
    return support.is_supported != 0 ? absl::OkStatus()
                                     : absl::UnimplementedError("this chip has no GPM; Hopper and newer have");
  }

  absl::Status Allocate(nvml::GpmSample& sample) const {
    return library_->ToStatus(functions_.gpm_sample_alloc(&sample), "nvmlGpmSampleAlloc");
  }

  absl::Status Take(nvml::GpmSample sample) const {
    return library_->ToStatus(functions_.gpm_sample_get(device_, sample), "nvmlGpmSampleGet");
  }

  std::shared_ptr<const NvmlLibrary> library_;
  const nvml::Functions& functions_;
  std::string pci_bus_id_;
  nvml::Device device_ = nullptr;
  nvml::GpmSample before_ = nullptr;
  nvml::GpmSample after_ = nullptr;
  nvml::GpmMetrics metrics_ = {};  // Tens of kilobytes, so not on the stack.
};

}  // namespace

std::unique_ptr<CounterSource> CreateGpmSource(std::shared_ptr<const NvmlLibrary> library, std::string pci_bus_id) {
  return std::make_unique<GpmSource>(std::move(library), std::move(pci_bus_id));
}

}  // namespace flashcore
