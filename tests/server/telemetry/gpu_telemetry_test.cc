#include "server/telemetry/gpu/gpu_telemetry.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/telemetry/text_format.h"
#include "tests/server/telemetry/exposition.h"
#include "tests/server/telemetry/gpu_fakes.h"

namespace flashcore {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class GpuTelemetryTest : public testing::Test {
 protected:
  GpuTelemetryTest() {
    std::vector<std::unique_ptr<CounterSource>> sources;
    sources.push_back(std::make_unique<FakeSource>(best_));
    sources.push_back(std::make_unique<FakeSource>(other_));
    telemetry_ = std::make_shared<GpuTelemetry>(/*ordinal=*/3, monitor_, CounterChain(std::move(sources)));
  }

  std::string Text() const { return ToTextFormat(CreateGpuCollectable({telemetry_})->Collect()); }

  std::shared_ptr<FakeMonitor> monitor_ = std::make_shared<FakeMonitor>();
  std::shared_ptr<SourceScript> best_ = std::make_shared<SourceScript>("cupti");
  std::shared_ptr<SourceScript> other_ = std::make_shared<SourceScript>("nvml");
  std::shared_ptr<GpuTelemetry> telemetry_;
};

TEST_F(GpuTelemetryTest, HasNoSeriesBeforeTheFirstSample) { EXPECT_EQ(Text(), ""); }

TEST_F(GpuTelemetryTest, TheRatiosCarryTheirSource) {
  best_->reading = CounterReading{.tensor_ratio = 0.5, .sm_ratio = 0.75, .dram_ratio = 0.125};
  telemetry_->Sample();
  const std::string text = Text();
  EXPECT_EQ(SampleValue(text, R"(flashcore_tensor_core_utilization_ratio{device="3",source="cupti"})"), 0.5);
  EXPECT_EQ(SampleValue(text, R"(flashcore_sm_active_ratio{device="3",source="cupti"})"), 0.75);
  EXPECT_EQ(SampleValue(text, R"(flashcore_dram_utilization_ratio{device="3",source="cupti"})"), 0.125);
  EXPECT_EQ(SampleValue(text, R"(flashcore_gpu_metrics_source_info{device="3",source="cupti",state="active"})"), 1);
  EXPECT_EQ(SampleValue(text, R"(flashcore_gpu_metrics_source_info{device="3",source="nvml",state="standby"})"), 1);
}

TEST_F(GpuTelemetryTest, ARefusedPermissionIsAGaugeAndTheNextSourceIsRead) {
  best_->start_status = absl::PermissionDeniedError("only for administrators");
  other_->reading = CounterReading{.tensor_ratio = 0.25, .sm_ratio = {}, .dram_ratio = {}};
  telemetry_->Sample();
  const std::string text = Text();
  EXPECT_EQ(
      SampleValue(text, R"(flashcore_gpu_metrics_source_info{device="3",source="cupti",state="permission_denied"})"),
      1);
  EXPECT_EQ(SampleValue(text, R"(flashcore_tensor_core_utilization_ratio{device="3",source="nvml"})"), 0.25);
}

TEST_F(GpuTelemetryTest, ZeroIsAValueAndTheUnknownIsAbsent) {
  best_->reading = CounterReading{.tensor_ratio = 0.0, .sm_ratio = {}, .dram_ratio = {}};
  telemetry_->Sample();
  const std::string text = Text();
  EXPECT_EQ(SampleValue(text, R"(flashcore_tensor_core_utilization_ratio{device="3",source="cupti"})"), 0);
  EXPECT_THAT(text, Not(HasSubstr("flashcore_sm_active_ratio")));
  EXPECT_THAT(text, Not(HasSubstr("flashcore_gpu_power_watts")));
  EXPECT_THAT(text, Not(HasSubstr("flashcore_gpu_throttled")));
  EXPECT_THAT(text, Not(HasSubstr("flashcore_gpu_xid")));
}

TEST_F(GpuTelemetryTest, ALostReadingLeavesNoStaleValue) {
  best_->reading = CounterReading{.tensor_ratio = 0.5, .sm_ratio = {}, .dram_ratio = {}};
  telemetry_->Sample();
  best_->reading = absl::InternalError("lost");
  telemetry_->Sample();
  EXPECT_THAT(Text(), Not(HasSubstr("flashcore_tensor_core_utilization_ratio")));
}

TEST_F(GpuTelemetryTest, TheDriversWordsBecomeSeriesInBaseUnits) {
  DeviceReading& device = monitor_->reading;
  device.busy_ratio = 0.9;
  device.memory_used_bytes = int64_t{5} << 30;
  device.power_watts = 71.5;
  device.energy_joules = 1234;
  device.sm_clock_hertz = 2.04e9;
  device.memory_max_clock_hertz = 6.25e9;
  device.throttle_reasons = 0b100;
  device.pcie_received_bytes_per_second = 1e9;
  device.ecc_uncorrected_errors = 0;
  device.xid_errors = 2;
  device.last_xid = 79;
  telemetry_->Sample();
  const std::string text = Text();
  EXPECT_EQ(SampleValue(text, R"(flashcore_gpu_info{device="3",name="Fake GPU",uuid="GPU-1",pci_bus_id="0000:01:00.0",)"
                              R"(driver_version="1.2"})"),
            1);
  EXPECT_EQ(SampleValue(text, R"(flashcore_gpu_busy_ratio{device="3"})"), 0.9);
  EXPECT_EQ(SampleValue(text, R"(flashcore_gpu_memory_used_bytes{device="3"})"), 5.0 * (1 << 30));
  EXPECT_EQ(SampleValue(text, R"(flashcore_gpu_power_watts{device="3"})"), 71.5);
  EXPECT_EQ(SampleValue(text, R"(flashcore_gpu_energy_joules_total{device="3"})"), 1234);
  EXPECT_EQ(SampleValue(text, R"(flashcore_gpu_clock_hertz{device="3",domain="sm"})"), 2.04e9);
  EXPECT_EQ(SampleValue(text, R"(flashcore_gpu_max_clock_hertz{device="3",domain="memory"})"), 6.25e9);
  EXPECT_EQ(SampleValue(text, R"(flashcore_gpu_throttled{device="3",reason="software_power_cap"})"), 1);
  EXPECT_EQ(SampleValue(text, R"(flashcore_gpu_throttled{device="3",reason="idle"})"), 0);
  EXPECT_EQ(SampleValue(text, R"(flashcore_gpu_pcie_bytes_per_second{device="3",direction="received"})"), 1e9);
  EXPECT_EQ(SampleValue(text, R"(flashcore_gpu_ecc_errors_total{device="3",type="uncorrected"})"), 0);
  EXPECT_EQ(SampleValue(text, R"(flashcore_gpu_xid_errors_total{device="3"})"), 2);
  EXPECT_EQ(SampleValue(text, R"(flashcore_gpu_last_xid{device="3"})"), 79);
  EXPECT_THAT(text, Not(HasSubstr(R"(type="corrected")")));
}

TEST(GpuTelemetry, WorksWithoutADriversLibrary) {
  GpuTelemetry telemetry(0, nullptr, CounterChain({}));
  telemetry.Sample();
  EXPECT_TRUE(GpuFamilies({telemetry.snapshot()}).empty());
}

TEST(GpuTelemetry, SeveralGpusShareAFamily) {
  std::vector<GpuSnapshot> snapshots(2);
  snapshots[0].ordinal = 1;
  snapshots[0].device.power_watts = 50;
  snapshots[1].ordinal = 4;
  snapshots[1].device.power_watts = 60;
  snapshots[1].device.temperature_celsius = 70;
  const std::string text = ToTextFormat(GpuFamilies(snapshots));
  EXPECT_EQ(SampleValue(text, R"(flashcore_gpu_power_watts{device="1"})"), 50);
  EXPECT_EQ(SampleValue(text, R"(flashcore_gpu_power_watts{device="4"})"), 60);
  EXPECT_EQ(SampleValue(text, R"(flashcore_gpu_temperature_celsius{device="4"})"), 70);
  const size_t first = text.find("# TYPE flashcore_gpu_power_watts");
  EXPECT_NE(first, std::string::npos);
  EXPECT_EQ(text.find("# TYPE flashcore_gpu_power_watts", first + 1), std::string::npos);
}

}  // namespace
}  // namespace flashcore
