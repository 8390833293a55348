// NVML's reader against a fake of the driver's library.
#include <dlfcn.h>

#include <memory>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/telemetry/gpu/nvml.h"
#include "tests/server/telemetry/gpu_fake_nvml.h"

namespace flashcore {
namespace {

using ::testing::HasSubstr;

constexpr char kPciBusId[] = "0000:65:00.0";

class NvmlTest : public testing::Test {
 protected:
  void SetUp() override {
    void* const handle = dlopen(FLASHCORE_FAKE_NVML, RTLD_NOW);
    ASSERT_NE(handle, nullptr) << dlerror();
    fake_ = static_cast<FakeNvml*>(dlsym(handle, "fake_nvml"));
    ASSERT_NE(fake_, nullptr);
    *fake_ = FakeNvml();
  }

  // Asserts that the fake loads.
  static std::shared_ptr<const NvmlLibrary> Load() {
    auto library = NvmlLibrary::Load(FLASHCORE_FAKE_NVML);
    EXPECT_TRUE(library.ok()) << library.status();
    return library.ok() ? *library : nullptr;
  }
  static std::unique_ptr<DeviceMonitor> CreateMonitor() {
    auto monitor = CreateNvmlMonitor(Load(), kPciBusId);
    EXPECT_TRUE(monitor.ok()) << monitor.status();
    return *std::move(monitor);
  }

  FakeNvml* fake_ = nullptr;
};

TEST_F(NvmlTest, AMissingLibraryIsAStatus) {
  const auto library = NvmlLibrary::Load("libflashcore-no-such-library.so.1");
  EXPECT_EQ(library.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(library.status().message()), HasSubstr("libflashcore-no-such-library"));
}

TEST_F(NvmlTest, AnotherLibraryIsAStatus) {
  EXPECT_THAT(std::string(NvmlLibrary::Load("libm.so.6").status().message()), HasSubstr("has no nvmlInit_v2"));
}

TEST_F(NvmlTest, ADriverThatDoesNotRunIsAStatus) {
  fake_->init = nvml::kNotSupported;
  EXPECT_EQ(NvmlLibrary::Load(FLASHCORE_FAKE_NVML).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(NvmlTest, IsShutDownWithItsLastUser) {
  auto monitor = CreateMonitor();
  EXPECT_EQ(fake_->initialised, 1);
  monitor.reset();
  EXPECT_EQ(fake_->initialised, 0);
}

TEST_F(NvmlTest, ADeviceIsFoundByItsSlotOrNotAtAll) {
  const auto monitor = CreateMonitor();
  EXPECT_EQ(monitor->identity().name, "Fake L4");
  EXPECT_EQ(monitor->identity().uuid, "GPU-42");
  EXPECT_EQ(monitor->identity().pci_bus_id, kPciBusId);
  EXPECT_EQ(monitor->identity().driver_version, "999.1");
  EXPECT_EQ(CreateNvmlMonitor(Load(), "0000:66:00.0").status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(NvmlTest, ReadsInBaseUnits) {
  const DeviceReading reading = CreateMonitor()->Read();
  EXPECT_DOUBLE_EQ(reading.busy_ratio.value(), 0.8);
  EXPECT_DOUBLE_EQ(reading.memory_busy_ratio.value(), 0.25);
  EXPECT_EQ(reading.memory_used_bytes, int64_t{4} << 30);
  EXPECT_EQ(reading.memory_size_bytes, int64_t{24} << 30);
  EXPECT_DOUBLE_EQ(reading.power_watts.value(), 65.5);
  EXPECT_DOUBLE_EQ(reading.power_limit_watts.value(), 72);
  EXPECT_DOUBLE_EQ(reading.sm_clock_hertz.value(), 2.04e9);
  EXPECT_DOUBLE_EQ(reading.memory_clock_hertz.value(), 6.251e9);
  EXPECT_DOUBLE_EQ(reading.temperature_celsius.value(), 61);
  EXPECT_EQ(reading.throttle_reasons, 0b10'0100U);
  EXPECT_DOUBLE_EQ(reading.pcie_received_bytes_per_second.value(), 1'024'000);
  EXPECT_DOUBLE_EQ(reading.pcie_sent_bytes_per_second.value(), 2'048'000);
  EXPECT_EQ(reading.ecc_corrected_errors, 3);
  EXPECT_EQ(reading.ecc_uncorrected_errors, 0);
}

TEST_F(NvmlTest, WhatTheDriverLacksIsAbsent) {
  // The fake has neither.
  const DeviceReading reading = CreateMonitor()->Read();
  EXPECT_FALSE(reading.energy_joules.has_value());
  EXPECT_FALSE(reading.sm_max_clock_hertz.has_value());
}

TEST_F(NvmlTest, WhatTheDriverRefusesIsAbsent) {
  fake_->reading = nvml::kNoPermission;
  const DeviceReading reading = CreateMonitor()->Read();
  EXPECT_FALSE(reading.busy_ratio.has_value());
  EXPECT_FALSE(reading.memory_used_bytes.has_value());
  EXPECT_FALSE(reading.power_watts.has_value());
  EXPECT_FALSE(reading.sm_clock_hertz.has_value());
  EXPECT_FALSE(reading.throttle_reasons.has_value());
  EXPECT_FALSE(reading.ecc_corrected_errors.has_value());
  EXPECT_FALSE(reading.xid_errors.has_value());
}

TEST_F(NvmlTest, CountsXidEvents) {
  const auto monitor = CreateMonitor();
  DeviceReading reading = monitor->Read();
  EXPECT_EQ(reading.xid_errors, 0);
  EXPECT_FALSE(reading.last_xid.has_value());
  fake_->xids = {13, 79};
  reading = monitor->Read();
  EXPECT_EQ(reading.xid_errors, 2);
  EXPECT_EQ(reading.last_xid, 79);
  reading = monitor->Read();
  EXPECT_EQ(reading.xid_errors, 2);
}

TEST_F(NvmlTest, GpmReadsRatios) {
  const auto source = CreateGpmSource(Load(), kPciBusId);
  EXPECT_EQ(source->name(), "nvml");
  ASSERT_TRUE(source->Start().ok());
  for (int i = 0; i < 3; ++i) {
    const auto reading = source->Read();
    ASSERT_TRUE(reading.ok()) << reading.status();
    EXPECT_DOUBLE_EQ(reading->tensor_ratio.value(), 0.5);
    EXPECT_DOUBLE_EQ(reading->sm_ratio.value(), 0.2);
    EXPECT_DOUBLE_EQ(reading->dram_ratio.value(), 1.0);
  }
}

TEST_F(NvmlTest, AMetricThatGpmLacksIsAbsent) {
  fake_->gpm_dram = nvml::kNotSupported;
  const auto source = CreateGpmSource(Load(), kPciBusId);
  ASSERT_TRUE(source->Start().ok());
  const auto reading = source->Read();
  ASSERT_TRUE(reading.ok());
  EXPECT_TRUE(reading->tensor_ratio.has_value());
  EXPECT_FALSE(reading->dram_ratio.has_value());
}

TEST_F(NvmlTest, GpmSaysWhyItDoesNotStart) {
  fake_->has_gpm = false;
  EXPECT_EQ(CreateGpmSource(Load(), kPciBusId)->Start().code(), absl::StatusCode::kUnimplemented);
  fake_->has_gpm = true;
  fake_->gpm_sample = nvml::kNoPermission;
  EXPECT_EQ(CreateGpmSource(Load(), kPciBusId)->Start().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(fake_->gpm_samples, 0);
}

}  // namespace
}  // namespace flashcore
