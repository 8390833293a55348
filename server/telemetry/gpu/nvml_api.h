// As much of NVML's C interface as the server uses, declared here: toolkits come with and without its header, and
// NVML's types and values never change once published.
#ifndef FLASHCORE_SERVER_TELEMETRY_GPU_NVML_API_H_
#define FLASHCORE_SERVER_TELEMETRY_GPU_NVML_API_H_

#include <cstdint>

namespace flashcore::nvml {

struct DeviceHandle;
struct EventSetHandle;
struct GpmSampleHandle;
using Device = DeviceHandle*;
using EventSet = EventSetHandle*;
using GpmSample = GpmSampleHandle*;

enum Return : unsigned { kSuccess = 0, kNotSupported = 3, kNoPermission = 4, kTimeout = 10 };
enum ClockType : unsigned { kSmClock = 1, kMemoryClock = 2 };
enum TemperatureSensor : unsigned { kGpuSensor = 0 };
enum PcieCounter : unsigned { kPcieTransmitted = 0, kPcieReceived = 1 };
enum MemoryErrorType : unsigned { kCorrected = 0, kUncorrected = 1 };
enum EccCounterType : unsigned { kSinceDriverLoad = 0 };
enum GpmMetricId : unsigned { kGpmSmUtil = 2, kGpmAnyTensorUtil = 5, kGpmDramBandwidthUtil = 10 };

inline constexpr uint64_t kEventXidCriticalError = 8;
inline constexpr unsigned kNameBufferBytes = 96;  // NVML's own bound for names, UUIDs and versions.
inline constexpr unsigned kGpmVersion = 1;
inline constexpr unsigned kGpmSupportVersion = 1;

struct Utilization {
  unsigned gpu_percent;
  unsigned memory_percent;
};

struct Memory {
  uint64_t total_bytes;
  uint64_t free_bytes;
  uint64_t used_bytes;
};

struct EventData {
  Device device;
  uint64_t event_type;
  uint64_t event_data;  // The XID.
  unsigned gpu_instance_id;
  unsigned compute_instance_id;
};

struct GpmMetric {
  unsigned id;
  Return status;
  double value;
  const char* names[3];
};

// NVML's array is longer, and grows with its versions, but only the first num_metrics entries are looked at.
struct GpmMetrics {
  static constexpr unsigned kMaxMetrics = 1024;
  unsigned version;
  unsigned num_metrics;
  GpmSample before;
  GpmSample after;
  GpmMetric metrics[kMaxMetrics];
};

struct GpmSupport {
  unsigned version;
  unsigned is_supported;
};

// Null where the driver's library lacks the function.
struct Functions {
  Return (*init)();
  Return (*shutdown)();
  const char* (*error_string)(Return);
  Return (*driver_version)(char*, unsigned);
  Return (*handle_by_pci_bus_id)(const char*, Device*);
  Return (*name)(Device, char*, unsigned);
  Return (*uuid)(Device, char*, unsigned);
  Return (*utilization)(Device, Utilization*);
  Return (*memory)(Device, Memory*);
  Return (*power_milliwatts)(Device, unsigned*);
  Return (*power_limit_milliwatts)(Device, unsigned*);
  Return (*energy_millijoules)(Device, uint64_t*);
  Return (*clock_megahertz)(Device, ClockType, unsigned*);
  Return (*max_clock_megahertz)(Device, ClockType, unsigned*);
  Return (*temperature_celsius)(Device, TemperatureSensor, unsigned*);
  Return (*throttle_reasons)(Device, uint64_t*);
  Return (*pcie_kib_per_second)(Device, PcieCounter, unsigned*);
  Return (*ecc_errors)(Device, MemoryErrorType, EccCounterType, uint64_t*);
  Return (*event_set_create)(EventSet*);
  Return (*event_set_free)(EventSet);
  Return (*register_events)(Device, uint64_t, EventSet);
  Return (*event_set_wait)(EventSet, EventData*, unsigned);
  Return (*gpm_support)(Device, GpmSupport*);
  Return (*gpm_sample_alloc)(GpmSample*);
  Return (*gpm_sample_free)(GpmSample);
  Return (*gpm_sample_get)(Device, GpmSample);
  Return (*gpm_metrics_get)(GpmMetrics*);
};

}  // namespace flashcore::nvml

#endif  // FLASHCORE_SERVER_TELEMETRY_GPU_NVML_API_H_
