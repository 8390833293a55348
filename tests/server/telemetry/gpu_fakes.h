// Stand-ins for a GPU's counters and driver.
#ifndef FLASHCORE_TESTS_SERVER_TELEMETRY_GPU_FAKES_H_
#define FLASHCORE_TESTS_SERVER_TELEMETRY_GPU_FAKES_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/telemetry/gpu/counter_source.h"
#include "server/telemetry/gpu/device_monitor.h"

namespace flashcore {

// What the fakes of a test say, and what was done to them. The test changes it while the fakes run.
struct SourceScript {
  explicit SourceScript(std::string source_name) : name(std::move(source_name)) {}

  std::string name;
  absl::Status start_status;
  absl::StatusOr<CounterReading> reading = CounterReading{};
  int starts = 0;
  int reads = 0;
  bool alive = true;
};

class FakeSource : public CounterSource {
 public:
  explicit FakeSource(std::shared_ptr<SourceScript> script) : script_(std::move(script)) {}
  ~FakeSource() override { script_->alive = false; }

  absl::string_view name() const override { return script_->name; }
  absl::Status Start() override {
    ++script_->starts;
    return script_->start_status;
  }
  absl::StatusOr<CounterReading> Read() override {
    ++script_->reads;
    return script_->reading;
  }

 private:
  std::shared_ptr<SourceScript> script_;
};

class FakeMonitor : public DeviceMonitor {
 public:
  const DeviceIdentity& identity() const override { return identity_; }
  std::optional<double> SmClockHertz() override { return reading.sm_clock_hertz; }
  DeviceReading Read() override { return reading; }

  DeviceReading reading;

 private:
  DeviceIdentity identity_ = {
      .name = "Fake GPU", .uuid = "GPU-1", .pci_bus_id = "0000:01:00.0", .driver_version = "1.2"};
};

}  // namespace flashcore

#endif  // FLASHCORE_TESTS_SERVER_TELEMETRY_GPU_FAKES_H_
