#include <optional>

#include "gtest/gtest.h"
#include "server/telemetry/gpu/estimate_source.h"
#include "server/telemetry/gpu/gpu_device.h"
#include "tests/server/telemetry/simulated_clock.h"

namespace flashcore {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

class EstimateTest : public testing::Test {
 protected:
  std::unique_ptr<CounterSource> Create(std::optional<double> flops_per_clock) {
    return CreateEstimateSource({.flops = [this] { return flops_; },
                                 .sm_clock_hertz = [this] { return hertz_; },
                                 .flops_per_clock = flops_per_clock},
                                clock_);
  }

  SimulatedClock clock_;
  double flops_ = 5e9;
  std::optional<double> hertz_ = 1e9;
};

TEST_F(EstimateTest, IsWhatWasDoneByWhatWasPossible) {
  const auto source = Create(100);
  EXPECT_EQ(source->name(), "estimate");
  ASSERT_TRUE(source->Start().ok());
  clock_.AdvanceNs(2 * kSecondNs);
  flops_ += 50e9;
  auto reading = source->Read();
  ASSERT_TRUE(reading.ok()) << reading.status();
  EXPECT_DOUBLE_EQ(reading->tensor_ratio.value(), 0.25);
  EXPECT_FALSE(reading->sm_ratio.has_value());
  EXPECT_FALSE(reading->dram_ratio.has_value());

  // From the previous reading on, at the clock of now.
  clock_.AdvanceNs(kSecondNs);
  flops_ += 25e9;
  hertz_ = 0.5e9;
  reading = source->Read();
  ASSERT_TRUE(reading.ok());
  EXPECT_DOUBLE_EQ(reading->tensor_ratio.value(), 0.5);
}

TEST_F(EstimateTest, NeverExceedsOne) {
  const auto source = Create(1);
  ASSERT_TRUE(source->Start().ok());
  clock_.AdvanceNs(kSecondNs);
  flops_ += 1e15;
  EXPECT_EQ(source->Read()->tensor_ratio, 1.0);
}

TEST_F(EstimateTest, NothingIsToldOfNoTime) {
  const auto source = Create(1);
  ASSERT_TRUE(source->Start().ok());
  EXPECT_FALSE(source->Read()->tensor_ratio.has_value());
}

TEST_F(EstimateTest, WithoutAKnownPeakItDoesNotStart) {
  EXPECT_EQ(Create(std::nullopt)->Start().code(), absl::StatusCode::kUnimplemented);
}

TEST_F(EstimateTest, WithoutAClockItDoesNotStartAndFailsLater) {
  const auto source = Create(100);
  ASSERT_TRUE(source->Start().ok());
  clock_.AdvanceNs(kSecondNs);
  hertz_ = std::nullopt;
  EXPECT_EQ(source->Read().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Create(100)->Start().code(), absl::StatusCode::kUnavailable);
}

// NVIDIA's data sheets: 121 TFLOPS for the L4 at 2.04 GHz, 312 for the A100 at 1.41, and 989 for the H100 SXM at 1.83
// GHz, of which `mma.sync` reaches two thirds.
TEST(TensorFlopsPerClock, GivesWhatMmaSyncReachesOfTheDataSheetsPeaks) {
  const auto peak = [](int sm_count, int compute_capability, double hertz) {
    const GpuDevice device = {
        .ordinal = 0, .pci_bus_id = "", .sm_count = sm_count, .compute_capability = compute_capability};
    return TensorFlopsPerClock(device).value_or(0) * hertz;
  };
  EXPECT_NEAR(peak(58, 89, 2.04e9), 121e12, 1e12);
  EXPECT_NEAR(peak(132, 90, 1.83e9), 989e12 * 2 / 3, 5e12);
  EXPECT_NEAR(peak(108, 80, 1.41e9), 312e12, 1e12);
  EXPECT_EQ(peak(60, 75, 1e9), 0);
}

}  // namespace
}  // namespace flashcore
