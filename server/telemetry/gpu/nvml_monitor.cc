// NVML as a DeviceMonitor.
#include <optional>

#include "server/telemetry/gpu/nvml.h"

namespace flashcore {
namespace {

constexpr double kRatioPerPercent = 1e-2;
constexpr double kWattsPerMilliwatt = 1e-3;
constexpr double kJoulesPerMillijoule = 1e-3;
constexpr double kHertzPerMegahertz = 1e6;
// NVML says KB and counts 1024.
constexpr double kBytesPerKib = 1024;
// No driver reports more faults between two readings; a bound, so that a reading ends.
constexpr int kMostEventsPerReading = 64;

// What `get` writes, or nothing where it is missing or fails. Fills the last argument of an NVML getter.
template <typename Value, typename Function, typename... Arguments>
std::optional<Value> Get(Function* get, Arguments... arguments) {
  Value value = {};
  if (get == nullptr || get(arguments..., &value) != nvml::kSuccess) return std::nullopt;
  return value;
}

template <typename Value>
std::optional<double> Scaled(const std::optional<Value>& value, double scale) {
  if (!value.has_value()) return std::nullopt;
  return static_cast<double>(*value) * scale;
}

std::optional<int64_t> Signed(const std::optional<uint64_t>& value) {
  if (!value.has_value()) return std::nullopt;
  return static_cast<int64_t>(*value);
}

template <typename Function, typename... Arguments>
std::string GetString(Function* get, Arguments... arguments) {
  char text[nvml::kNameBufferBytes] = "";
  if (get == nullptr || get(arguments..., text, nvml::kNameBufferBytes) != nvml::kSuccess) return "";
  return text;
}

// Critical faults of the device, as they come.
class XidEvents {
 public:
  XidEvents(const nvml::Functions& functions, nvml::Device device) : functions_(functions) {
    if (functions.event_set_create == nullptr || functions.event_set_free == nullptr ||
        functions.register_events == nullptr || functions.event_set_wait == nullptr ||
        functions.event_set_create(&set_) != nvml::kSuccess) {
      set_ = nullptr;
      return;
    }
    if (functions.register_events(device, nvml::kEventXidCriticalError, set_) != nvml::kSuccess) Free();
  }
  ~XidEvents() { Free(); }
  XidEvents(const XidEvents&) = delete;
  XidEvents& operator=(const XidEvents&) = delete;

  void Read(DeviceReading& reading) {
    if (set_ == nullptr) return;
    nvml::EventData event = {};
    for (int i = 0; i < kMostEventsPerReading; ++i) {
      if (functions_.event_set_wait(set_, &event, /*timeout=*/0) != nvml::kSuccess) break;
      ++count_;
      last_ = static_cast<int64_t>(event.event_data);
    }
    reading.xid_errors = count_;
    reading.last_xid = last_;
  }

 private:
  void Free() {
    if (set_ != nullptr) functions_.event_set_free(set_);
    set_ = nullptr;
  }

  const nvml::Functions& functions_;
  nvml::EventSet set_ = nullptr;  // Null where the driver has no events.
  int64_t count_ = 0;
  std::optional<int64_t> last_;
};

class NvmlMonitor : public DeviceMonitor {
 public:
  NvmlMonitor(std::shared_ptr<const NvmlLibrary> library, nvml::Device device, const std::string& pci_bus_id)
      : library_(std::move(library)),
        functions_(library_->functions()),
        device_(device),
        xid_events_(functions_, device),
        identity_({.name = GetString(functions_.name, device),
                   .uuid = GetString(functions_.uuid, device),
                   .pci_bus_id = pci_bus_id,
                   .driver_version = GetString(functions_.driver_version)}) {}

  const DeviceIdentity& identity() const override { return identity_; }

  std::optional<double> SmClockHertz() override { return Clock(functions_.clock_megahertz, nvml::kSmClock); }

  DeviceReading Read() override {
    DeviceReading reading;
    ReadLoad(reading);
    ReadPower(reading);
    ReadClocks(reading);
    ReadPcie(reading);
    ReadErrors(reading);
    return reading;
  }

 private:
  void ReadLoad(DeviceReading& reading) const {
    if (const auto load = Get<nvml::Utilization>(functions_.utilization, device_)) {
      reading.busy_ratio = load->gpu_percent * kRatioPerPercent;
      reading.memory_busy_ratio = load->memory_percent * kRatioPerPercent;
    }
    if (const auto memory = Get<nvml::Memory>(functions_.memory, device_)) {
      reading.memory_used_bytes = static_cast<int64_t>(memory->used_bytes);
      reading.memory_size_bytes = static_cast<int64_t>(memory->total_bytes);
    }
  }

  void ReadPower(DeviceReading& reading) const {
    reading.power_watts = Scaled(Get<unsigned>(functions_.power_milliwatts, device_), kWattsPerMilliwatt);
    reading.power_limit_watts = Scaled(Get<unsigned>(functions_.power_limit_milliwatts, device_), kWattsPerMilliwatt);
    reading.energy_joules = Scaled(Get<uint64_t>(functions_.energy_millijoules, device_), kJoulesPerMillijoule);
    reading.temperature_celsius = Scaled(Get<unsigned>(functions_.temperature_celsius, device_, nvml::kGpuSensor), 1.0);
  }

  template <typename Function>
  std::optional<double> Clock(Function* get, nvml::ClockType type) const {
    return Scaled(Get<unsigned>(get, device_, type), kHertzPerMegahertz);
  }

  void ReadClocks(DeviceReading& reading) const {
    reading.sm_clock_hertz = Clock(functions_.clock_megahertz, nvml::kSmClock);
    reading.sm_max_clock_hertz = Clock(functions_.max_clock_megahertz, nvml::kSmClock);
    reading.memory_clock_hertz = Clock(functions_.clock_megahertz, nvml::kMemoryClock);
    reading.memory_max_clock_hertz = Clock(functions_.max_clock_megahertz, nvml::kMemoryClock);
    reading.throttle_reasons = Get<uint64_t>(functions_.throttle_reasons, device_);
  }

  void ReadPcie(DeviceReading& reading) const {
    const auto throughput = [this](nvml::PcieCounter counter) {
      return Scaled(Get<unsigned>(functions_.pcie_kib_per_second, device_, counter), kBytesPerKib);
    };
    reading.pcie_received_bytes_per_second = throughput(nvml::kPcieReceived);
    reading.pcie_sent_bytes_per_second = throughput(nvml::kPcieTransmitted);
  }

  void ReadErrors(DeviceReading& reading) {
    const auto ecc = [this](nvml::MemoryErrorType type) {
      return Signed(Get<uint64_t>(functions_.ecc_errors, device_, type, nvml::kSinceDriverLoad));
    };
    reading.ecc_corrected_errors = ecc(nvml::kCorrected);
    reading.ecc_uncorrected_errors = ecc(nvml::kUncorrected);
    xid_events_.Read(reading);
  }

  std::shared_ptr<const NvmlLibrary> library_;
  const nvml::Functions& functions_;
  nvml::Device device_;
  XidEvents xid_events_;
  DeviceIdentity identity_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceMonitor>> CreateNvmlMonitor(std::shared_ptr<const NvmlLibrary> library,
                                                                 const std::string& pci_bus_id) {
  const absl::StatusOr<nvml::Device> device = library->FindDevice(pci_bus_id);
  if (!device.ok()) return device.status();
  return std::make_unique<NvmlMonitor>(std::move(library), *device, pci_bus_id);
}

}  // namespace flashcore
