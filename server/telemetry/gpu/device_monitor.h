// What a GPU's driver says about its health: load, memory, power, clocks, errors.
#ifndef FLASHCORE_SERVER_TELEMETRY_GPU_DEVICE_MONITOR_H_
#define FLASHCORE_SERVER_TELEMETRY_GPU_DEVICE_MONITOR_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace flashcore {

// Why clocks are below their maximum, as in the label `reason`; in the order of the driver's bits, from bit 0 on.
inline constexpr std::array<absl::string_view, 11> kThrottleReasons = {
    "idle",          "application_clocks", "software_power_cap", "hardware_slowdown",
    "sync_boost",    "software_thermal",   "hardware_thermal",   "hardware_power_brake",
    "display_clock", "board_limit",        "reliability"};

// Constant for the life of the device. Empty where unknown.
struct DeviceIdentity {
  std::string name;
  std::string uuid;
  std::string pci_bus_id;
  std::string driver_version;
};

// What the driver does not tell is absent, never 0.
struct DeviceReading {
  std::optional<double> busy_ratio;         // Time in which any kernel ran, 0 to 1.
  std::optional<double> memory_busy_ratio;  // Time in which device memory was read or written, 0 to 1.
  std::optional<int64_t> memory_used_bytes;
  std::optional<int64_t> memory_size_bytes;
  std::optional<double> power_watts;
  std::optional<double> power_limit_watts;
  std::optional<double> energy_joules;  // Since the driver was loaded.
  std::optional<double> sm_clock_hertz;
  std::optional<double> sm_max_clock_hertz;
  std::optional<double> memory_clock_hertz;
  std::optional<double> memory_max_clock_hertz;
  std::optional<double> temperature_celsius;
  std::optional<uint64_t> throttle_reasons;  // A bit for each of kThrottleReasons.
  std::optional<double> pcie_received_bytes_per_second;
  std::optional<double> pcie_sent_bytes_per_second;
  std::optional<int64_t> ecc_corrected_errors;  // Since the driver was loaded, as are the next.
  std::optional<int64_t> ecc_uncorrected_errors;
  std::optional<int64_t> xid_errors;  // Critical ones since this monitor was made.
  std::optional<int64_t> last_xid;    // Absent before the first.
};

// Used by one thread at a time.
class DeviceMonitor {
 public:
  virtual ~DeviceMonitor() = default;

  virtual const DeviceIdentity& identity() const = 0;
  // As in a reading, without the wait for one.
  virtual std::optional<double> SmClockHertz() = 0;
  // Blocks for some tens of milliseconds: PCIe traffic is measured meanwhile.
  virtual DeviceReading Read() = 0;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_GPU_DEVICE_MONITOR_H_
