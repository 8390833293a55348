// The names of all series about GPUs. Each has the label `device` besides those here.
#include <algorithm>
#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "prometheus/client_metric.h"
#include "server/telemetry/family.h"
#include "server/telemetry/gpu/gpu_telemetry.h"

namespace flashcore {
namespace {

using Families = std::vector<prometheus::MetricFamily>;

std::optional<double> ToDouble(const std::optional<int64_t>& value) {
  if (!value.has_value()) return std::nullopt;
  return static_cast<double>(*value);
}

void AddCounters(Families& families, const GpuSnapshot& snapshot) {
  const auto by_source = [&](const std::optional<double>& value) {
    return std::vector<Sample>{{{{"source", snapshot.source}}, value}};
  };
  AppendGauge(families, "flashcore_tensor_core_utilization_ratio",
              "Share of time in which the tensor pipes worked, mean over the sampling period, 0 to 1.",
              by_source(snapshot.counters.tensor_ratio));
  AppendGauge(families, "flashcore_sm_active_ratio",
              "Share of time in which the SMs had work, mean over the SMs and the sampling period, 0 to 1.",
              by_source(snapshot.counters.sm_ratio));
  AppendGauge(families, "flashcore_dram_utilization_ratio",
              "Throughput of device memory by its peak, mean over the sampling period, 0 to 1.",
              by_source(snapshot.counters.dram_ratio));
  std::vector<Sample> states;
  for (const SourceStatus& status : snapshot.statuses) {
    states.push_back({{{"source", status.name}, {"state", std::string(SourceStateName(status.state))}}, 1});
  }
  AppendGauge(
      families, "flashcore_gpu_metrics_source_info",
      "Always 1; the labels say how it stands with each source of counters: active, standby, permission_denied, "
      "unavailable or failed.",
      states);
}

void AddIdentity(Families& families, const DeviceIdentity& identity) {
  if (identity.pci_bus_id.empty()) return;
  AppendGauge(families, "flashcore_gpu_info", "Always 1; the labels say which GPU this is.",
              {{{{"name", identity.name},
                 {"uuid", identity.uuid},
                 {"pci_bus_id", identity.pci_bus_id},
                 {"driver_version", identity.driver_version}},
                1}});
}

void AddLoad(Families& families, const DeviceReading& device) {
  AppendGauge(families, "flashcore_gpu_busy_ratio", "Share of time in which any kernel ran, as NVML counts, 0 to 1.",
              {{{}, device.busy_ratio}});
  AppendGauge(families, "flashcore_gpu_memory_busy_ratio",
              "Share of time in which device memory was read or written, as NVML counts, 0 to 1.",
              {{{}, device.memory_busy_ratio}});
  AppendGauge(families, "flashcore_gpu_memory_used_bytes", "Device memory in use, by all programs.",
              {{{}, ToDouble(device.memory_used_bytes)}});
  AppendGauge(families, "flashcore_gpu_memory_size_bytes", "Device memory.",
              {{{}, ToDouble(device.memory_size_bytes)}});
  AppendGauge(families, "flashcore_gpu_pcie_bytes_per_second", "Traffic over PCIe, seen from the GPU.",
              {{{{"direction", "received"}}, device.pcie_received_bytes_per_second},
               {{{"direction", "sent"}}, device.pcie_sent_bytes_per_second}});
}

void AddPower(Families& families, const DeviceReading& device) {
  AppendGauge(families, "flashcore_gpu_power_watts", "Power drawn.", {{{}, device.power_watts}});
  AppendGauge(families, "flashcore_gpu_power_limit_watts", "Power above which clocks are lowered.",
              {{{}, device.power_limit_watts}});
  AppendCounter(families, "flashcore_gpu_energy_joules_total", "Energy used since the driver was loaded.",
                {{{}, device.energy_joules}});
  AppendGauge(families, "flashcore_gpu_temperature_celsius", "Temperature of the chip.",
              {{{}, device.temperature_celsius}});
  AppendGauge(families, "flashcore_gpu_clock_hertz", "Current clock.",
              {{{{"domain", "sm"}}, device.sm_clock_hertz}, {{{"domain", "memory"}}, device.memory_clock_hertz}});
  AppendGauge(
      families, "flashcore_gpu_max_clock_hertz", "Highest clock.",
      {{{{"domain", "sm"}}, device.sm_max_clock_hertz}, {{{"domain", "memory"}}, device.memory_max_clock_hertz}});
  std::vector<Sample> reasons;
  for (size_t bit = 0; device.throttle_reasons.has_value() && bit < kThrottleReasons.size(); ++bit) {
    const uint64_t set = (*device.throttle_reasons >> bit) & 1;
    reasons.push_back({{{"reason", std::string(kThrottleReasons[bit])}}, static_cast<double>(set)});
  }
  AppendGauge(families, "flashcore_gpu_throttled",
              "Whether clocks are held below their maximum for that reason, 0 or 1.", reasons);
}

void AddErrors(Families& families, const DeviceReading& device) {
  AppendCounter(families, "flashcore_gpu_ecc_errors_total", "Memory errors since the driver was loaded.",
                {{{{"type", "corrected"}}, ToDouble(device.ecc_corrected_errors)},
                 {{{"type", "uncorrected"}}, ToDouble(device.ecc_uncorrected_errors)}});
  AppendCounter(families, "flashcore_gpu_xid_errors_total", "Critical XID events since the server started.",
                {{{}, ToDouble(device.xid_errors)}});
  AppendGauge(families, "flashcore_gpu_last_xid", "Code of the latest critical XID event; absent before the first.",
              {{{}, ToDouble(device.last_xid)}});
}

Families FamiliesOfOne(const GpuSnapshot& snapshot) {
  Families families;
  AddCounters(families, snapshot);
  AddIdentity(families, snapshot.identity);
  AddLoad(families, snapshot.device);
  AddPower(families, snapshot.device);
  AddErrors(families, snapshot.device);
  return families;
}

// Adds the series of `family` to those of the same name: a scrape may name a family only once.
void Merge(Families& families, prometheus::MetricFamily family) {
  for (prometheus::MetricFamily& known : families) {
    if (known.name != family.name) continue;
    std::move(family.metric.begin(), family.metric.end(), std::back_inserter(known.metric));
    return;
  }
  families.push_back(std::move(family));
}

class GpuCollectable : public prometheus::Collectable {
 public:
  explicit GpuCollectable(std::vector<std::shared_ptr<const GpuTelemetry>> gpus) : gpus_(std::move(gpus)) {}

  Families Collect() const override {
    std::vector<GpuSnapshot> snapshots;
    for (const auto& gpu : gpus_) snapshots.push_back(gpu->snapshot());
    return GpuFamilies(snapshots);
  }

 private:
  const std::vector<std::shared_ptr<const GpuTelemetry>> gpus_;
};

}  // namespace

Families GpuFamilies(absl::Span<const GpuSnapshot> snapshots) {
  Families families;
  for (const GpuSnapshot& snapshot : snapshots) {
    for (prometheus::MetricFamily& family : FamiliesOfOne(snapshot)) {
      for (prometheus::ClientMetric& metric : family.metric) {
        metric.label.insert(metric.label.begin(), {"device", std::to_string(snapshot.ordinal)});
      }
      Merge(families, std::move(family));
    }
  }
  return families;
}

std::shared_ptr<prometheus::Collectable> CreateGpuCollectable(std::vector<std::shared_ptr<const GpuTelemetry>> gpus) {
  return std::make_shared<GpuCollectable>(std::move(gpus));
}

}  // namespace flashcore
