#include "tests/server/telemetry/gpu_fake_nvml.h"

#include <cstring>
#include <string>

namespace {

using flashcore::FakeNvml;
using flashcore::nvml::Device;
using flashcore::nvml::EventSet;
using flashcore::nvml::GpmSample;
using flashcore::nvml::Return;

constexpr char kPciBusId[] = "0000:65:00.0";

// Any address will do for a handle.
template <typename Handle>
Handle FakeHandle() {
  static char place;
  return reinterpret_cast<Handle>(&place);
}

Return Give(const char* text, char* to, unsigned size) {
  std::strncpy(to, text, size);
  return flashcore::nvml::kSuccess;
}

}  // namespace

extern "C" {

FakeNvml fake_nvml;

Return nvmlInit_v2() {
  if (fake_nvml.init == flashcore::nvml::kSuccess) ++fake_nvml.initialised;
  return fake_nvml.init;
}
Return nvmlShutdown() {
  --fake_nvml.initialised;
  return flashcore::nvml::kSuccess;
}
const char* nvmlErrorString(Return /*result*/) { return "fake error"; }
Return nvmlSystemGetDriverVersion(char* text, unsigned size) { return Give("999.1", text, size); }

Return nvmlDeviceGetHandleByPciBusId_v2(const char* pci_bus_id, Device* device) {
  *device = FakeHandle<Device>();
  return pci_bus_id == std::string(kPciBusId) ? flashcore::nvml::kSuccess : flashcore::nvml::kNotSupported;
}
Return nvmlDeviceGetName(Device /*device*/, char* text, unsigned size) { return Give("Fake L4", text, size); }
Return nvmlDeviceGetUUID(Device /*device*/, char* text, unsigned size) { return Give("GPU-42", text, size); }

Return nvmlDeviceGetUtilizationRates(Device /*device*/, flashcore::nvml::Utilization* out) {
  *out = {.gpu_percent = 80, .memory_percent = 25};
  return fake_nvml.reading;
}
Return nvmlDeviceGetMemoryInfo(Device /*device*/, flashcore::nvml::Memory* out) {
  *out = {.total_bytes = uint64_t{24} << 30, .free_bytes = uint64_t{20} << 30, .used_bytes = uint64_t{4} << 30};
  return fake_nvml.reading;
}
Return nvmlDeviceGetPowerUsage(Device /*device*/, unsigned* out) {
  *out = 65'500;
  return fake_nvml.reading;
}
Return nvmlDeviceGetEnforcedPowerLimit(Device /*device*/, unsigned* out) {
  *out = 72'000;
  return fake_nvml.reading;
}
Return nvmlDeviceGetClockInfo(Device /*device*/, unsigned type, unsigned* out) {
  *out = type == flashcore::nvml::kSmClock ? 2040 : 6251;
  return fake_nvml.reading;
}
Return nvmlDeviceGetTemperature(Device /*device*/, unsigned /*sensor*/, unsigned* out) {
  *out = 61;
  return fake_nvml.reading;
}
// The name before the driver renamed it.
Return nvmlDeviceGetCurrentClocksThrottleReasons(Device /*device*/, uint64_t* out) {
  *out = 0b10'0100;
  return fake_nvml.reading;
}
Return nvmlDeviceGetPcieThroughput(Device /*device*/, unsigned counter, unsigned* out) {
  *out = counter == flashcore::nvml::kPcieReceived ? 1000 : 2000;
  return fake_nvml.reading;
}
Return nvmlDeviceGetTotalEccErrors(Device /*device*/, unsigned type, unsigned /*counter*/, uint64_t* out) {
  *out = type == flashcore::nvml::kCorrected ? 3 : 0;
  return fake_nvml.reading;
}

Return nvmlEventSetCreate(EventSet* set) {
  *set = FakeHandle<EventSet>();
  return flashcore::nvml::kSuccess;
}
Return nvmlEventSetFree(EventSet /*set*/) { return flashcore::nvml::kSuccess; }
Return nvmlDeviceRegisterEvents(Device /*device*/, uint64_t /*types*/, EventSet /*set*/) { return fake_nvml.reading; }
Return nvmlEventSetWait_v2(EventSet /*set*/, flashcore::nvml::EventData* out, unsigned /*timeout_ms*/) {
  if (fake_nvml.xids.empty()) return flashcore::nvml::kTimeout;
  *out = {};
  out->event_data = fake_nvml.xids.front();
  fake_nvml.xids.erase(fake_nvml.xids.begin());
  return flashcore::nvml::kSuccess;
}

Return nvmlGpmQueryDeviceSupport(Device /*device*/, flashcore::nvml::GpmSupport* out) {
  out->is_supported = fake_nvml.has_gpm ? 1 : 0;
  return flashcore::nvml::kSuccess;
}
Return nvmlGpmSampleAlloc(GpmSample* sample) {
  ++fake_nvml.gpm_samples;
  *sample = reinterpret_cast<GpmSample>(new char);
  return flashcore::nvml::kSuccess;
}
Return nvmlGpmSampleFree(GpmSample sample) {
  --fake_nvml.gpm_samples;
  delete reinterpret_cast<char*>(sample);
  return flashcore::nvml::kSuccess;
}
Return nvmlGpmSampleGet(Device /*device*/, GpmSample /*sample*/) { return fake_nvml.gpm_sample; }
Return nvmlGpmMetricsGet(flashcore::nvml::GpmMetrics* metrics) {
  if (metrics->version != 1 || metrics->before == metrics->after) return flashcore::nvml::kNotSupported;
  for (unsigned i = 0; i < metrics->num_metrics; ++i) {
    flashcore::nvml::GpmMetric& metric = metrics->metrics[i];
    metric.status =
        metric.id == flashcore::nvml::kGpmDramBandwidthUtil ? fake_nvml.gpm_dram : flashcore::nvml::kSuccess;
    metric.value = 10.0 * metric.id;
  }
  return flashcore::nvml::kSuccess;
}

}  // extern "C"
