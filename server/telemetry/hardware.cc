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

std::unique_ptr<CounterSource> Estimate(const HardwareOptions& options, const GpuDevice& device,
                                        std::shared_ptr<DeviceMonitor> monitor) {
  EstimateInputs inputs = {.flops = options.flops,
                           .sm_clock_hertz = [monitor = std::move(monitor)] { return monitor->SmClockHertz(); },
                           .flops_per_clock = {}};
  if (options.tensor_cores && options.flops) inputs.flops_per_clock = TensorFlopsPerClock(device);
  return CreateEstimateSource(std::move(inputs), SteadyClock());
}

std::shared_ptr<GpuTelemetry> WatchDevice(const HardwareOptions& options, const GpuDevice& device) {
  std::shared_ptr<DeviceMonitor> monitor;
  std::vector<std::unique_ptr<CounterSource>> sources;
  if (Wanted(options, "cupti")) sources.push_back(CreateCuptiSource(device.ordinal));
  absl::StatusOr<std::shared_ptr<const NvmlLibrary>> nvml = NvmlLibrary::Load(kNvmlLibrary);
  absl::Status status = nvml.status();
  if (nvml.ok()) {
    absl::StatusOr<std::unique_ptr<DeviceMonitor>> created = CreateNvmlMonitor(*nvml, device.pci_bus_id);
    status = created.status();
    if (created.ok()) monitor = *std::move(created);
    if (Wanted(options, "nvml")) sources.push_back(CreateGpmSource(*nvml, device.pci_bus_id));
  }
  if (!status.ok()) LogWarning("gpu not monitored", {{"status", status}});
  if (monitor != nullptr && Wanted(options, "estimate")) sources.push_back(Estimate(options, device, monitor));
  return std::make_shared<GpuTelemetry>(std::move(monitor), CounterChain(std::move(sources)));
}

// Without any series, and with a line in the log, where the device cannot even be named.
std::shared_ptr<GpuTelemetry> WatchGpu(const HardwareOptions& options) {
  const absl::StatusOr<GpuDevice> device = QueryGpuDevice(options.device_ordinal);
  if (device.ok()) return WatchDevice(options, *device);
  LogWarning("gpu not monitored", {{"status", device.status()}});
  return std::make_shared<GpuTelemetry>(nullptr, CounterChain({}));
}

template <typename Telemetry>
std::unique_ptr<PeriodicTask> SampleEvery(std::chrono::nanoseconds period, std::shared_ptr<Telemetry> telemetry) {
  return std::make_unique<PeriodicTask>(period, [telemetry = std::move(telemetry)] { telemetry->Sample(); });
}

}  // namespace

HardwareTelemetry::HardwareTelemetry(const HardwareOptions& options) {
  if (options.gpu) {
    std::shared_ptr<GpuTelemetry> gpu = WatchGpu(options);
    collectable_ = gpu;
    task_ = SampleEvery(options.period, std::move(gpu));
  } else {
    auto cpu = std::make_shared<CpuTelemetry>(ProcessCpuNs, UsableCpus(), SteadyClock());
    collectable_ = cpu;
    task_ = SampleEvery(options.period, std::move(cpu));
  }
}

}  // namespace flashcore
