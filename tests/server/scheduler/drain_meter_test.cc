#include "server/scheduler/drain_meter.h"

#include <cstdint>

#include "gtest/gtest.h"

namespace flashcore {
namespace {

constexpr int64_t kMs = 1'000'000;

TEST(DrainMeterTest, TheDefaultUntilSomethingIsKnown) {
  DrainMeter meter;
  EXPECT_EQ(meter.RetryAfterMs(1000), kDefaultRetryMs);
  meter.Took(5, /*all_lanes_busy=*/true, 10 * kMs);
  EXPECT_EQ(meter.RetryAfterMs(1000), kDefaultRetryMs) << "one take is no rate";
}

TEST(DrainMeterTest, AQueueAtAMeasuredRate) {
  DrainMeter meter;
  int64_t now_ns = 0;
  for (int i = 0; i < 5; ++i) meter.Took(10, /*all_lanes_busy=*/true, now_ns += 20 * kMs);
  EXPECT_EQ(meter.RetryAfterMs(100), 200);
  EXPECT_EQ(meter.RetryAfterMs(101), 202);
}

TEST(DrainMeterTest, IdleTimeIsNoDrain) {
  DrainMeter meter;
  meter.Took(10, /*all_lanes_busy=*/true, 0);
  meter.Took(10, /*all_lanes_busy=*/false, 20 * kMs);
  meter.Took(1, /*all_lanes_busy=*/true, 3'600'000 * kMs);
  EXPECT_EQ(meter.RetryAfterMs(100), 200);
}

TEST(DrainMeterTest, ALaneThatIdlesInBetweenIsNoDrain) {
  DrainMeter meter;
  meter.Took(10, /*all_lanes_busy=*/true, 0);
  EXPECT_EQ(meter.TimePerRequestNs(), 0);
  meter.Took(10, /*all_lanes_busy=*/true, 20 * kMs);
  EXPECT_EQ(meter.TimePerRequestNs(), 2 * kMs);
  meter.LaneIdled();
  meter.Took(1, /*all_lanes_busy=*/true, 3'600'000 * kMs);
  EXPECT_EQ(meter.TimePerRequestNs(), 2 * kMs);
}

TEST(DrainMeterTest, FollowsAChange) {
  DrainMeter meter;
  int64_t now_ns = 0;
  for (int i = 0; i < 5; ++i) meter.Took(10, /*all_lanes_busy=*/true, now_ns += 20 * kMs);
  for (int i = 0; i < 50; ++i) meter.Took(1, /*all_lanes_busy=*/true, now_ns += 20 * kMs);
  EXPECT_NEAR(static_cast<double>(meter.RetryAfterMs(100)), 2000, 100);
}

TEST(DrainMeterTest, IsBounded) {
  DrainMeter meter;
  meter.Took(1, /*all_lanes_busy=*/true, 0);
  meter.Took(1, /*all_lanes_busy=*/true, 1000 * kMs);
  EXPECT_EQ(meter.RetryAfterMs(0), kLeastRetryMs);
  EXPECT_EQ(meter.RetryAfterMs(int64_t{1} << 40), kGreatestRetryMs);
}

}  // namespace
}  // namespace flashcore
