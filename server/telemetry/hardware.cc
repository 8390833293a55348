#include "server/telemetry/hardware.h"

#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/telemetry/clock.h"
#include "server/telemetry/cpu_telemetry.h"
#include "server/telemetry/gpu/cupti.h"
#include "server/telemetry/gpu/estimate_source.h"
#include "server/telemetry/gpu/gpu_device.h"
#include "server/telemetry/gpu/gpu_telemetry.h"
#include "server/telemetry/gpu/nvml.h"
#include "server/telemetry/logging.h"

namespace flashcore {
namespace {

bool Wanted(const HardwareOptions& options, absl::string_view source) {
  return options.gpu_counters == "auto" || options.gpu_counters == source;
}

// `index` is the device's position in options.gpus.
std::unique_ptr<CounterSource> Estimate(const HardwareOptions& options, size_t index, const GpuDevice& device,
                                        std::shared_ptr<DeviceMonitor> monitor) {
  EstimateInputs inputs = {.flops = [flops = options.flops, index] { return flops(index); },
                           .sm_clock_hertz = [monitor = std::move(monitor)] { return monitor->SmClockHertz(); },
                           .flops_per_clock = {}};
  if (options.tensor_cores && options.flops) inputs.flops_per_clock = TensorFlopsPerClock(device);
  return CreateEstimateSource(std::move(inputs), SteadyClock());
}

// What NVML says about the device, and null, with a line in the log, where it says nothing. Adds NVML's counters.
std::shared_ptr<DeviceMonitor> WatchWithNvml(const HardwareOptions& options, const GpuDevice& device,
                                             std::vector<std::unique_ptr<CounterSource>>& sources) {
  absl::StatusOr<std::shared_ptr<const NvmlLibrary>> nvml = NvmlLibrary::Load(kNvmlLibrary);
  absl::Status status = nvml.status();
  std::shared_ptr<DeviceMonitor> monitor;
  if (nvml.ok()) {
    absl::StatusOr<std::unique_ptr<DeviceMonitor>> created = CreateNvmlMonitor(*nvml, device.pci_bus_id);
    status = created.status();
    if (created.ok()) monitor = *std::move(created);
    if (Wanted(options, "nvml")) sources.push_back(CreateGpmSource(*std::move(nvml), device.pci_bus_id));
  }
  if (!status.ok()) LogWarning("gpu not monitored", {{"device", device.ordinal}, {"status", status}});
  return monitor;
}

std::shared_ptr<GpuTelemetry> WatchGpu(const HardwareOptions& options, size_t index) {
  const int ordinal = options.gpus[index];
  const absl::StatusOr<GpuDevice> device = QueryGpuDevice(ordinal);
  if (!device.ok()) {
    LogWarning("gpu not monitored", {{"device", ordinal}, {"status", device.status()}});
    return std::make_shared<GpuTelemetry>(ordinal, nullptr, CounterChain({}));
  }
  std::vector<std::unique_ptr<CounterSource>> sources;
  if (Wanted(options, "cupti")) sources.push_back(CreateCuptiSource(ordinal));
  std::shared_ptr<DeviceMonitor> monitor = WatchWithNvml(options, *device, sources);
  if (monitor != nullptr && Wanted(options, "estimate")) sources.push_back(Estimate(options, index, *device, monitor));
  return std::make_shared<GpuTelemetry>(ordinal, std::move(monitor), CounterChain(std::move(sources)));
}

template <typename Telemetry>
std::unique_ptr<PeriodicTask> SampleEvery(std::chrono::nanoseconds period, std::shared_ptr<Telemetry> telemetry) {
  return std::make_unique<PeriodicTask>(period, [telemetry = std::move(telemetry)] { telemetry->Sample(); });
}

}  // namespace

HardwareTelemetry::HardwareTelemetry(const HardwareOptions& options) {
  if (options.gpus.empty()) {
    auto cpu = std::make_shared<CpuTelemetry>(ProcessCpuNs, UsableCpus(), SteadyClock());
    collectable_ = cpu;
    tasks_.push_back(SampleEvery(options.period, std::move(cpu)));
    return;
  }
  std::vector<std::shared_ptr<const GpuTelemetry>> gpus;
  for (size_t index = 0; index < options.gpus.size(); ++index) {
    std::shared_ptr<GpuTelemetry> gpu = WatchGpu(options, index);
    gpus.push_back(gpu);
    tasks_.push_back(SampleEvery(options.period, std::move(gpu)));
  }
  collectable_ = CreateGpuCollectable(std::move(gpus));
}

}  // namespace flashcore
