#include "server/scheduler/drain_meter.h"

#include <cstdint>

#include "gtest/gtest.h"

namespace flashcore {
namespace {

constexpr int64_t kMs = 1'000'000;

class DrainMeterTest : public testing::Test {
 protected:
  // A batch that took `ms`, the next one beginning when it ends.
  void Finish(int64_t requests, int64_t ms, bool all_lanes_busy = true) {
    const int64_t taken_ns = now_ns_;
    now_ns_ += ms * kMs;
    meter_.Finished(requests, taken_ns, now_ns_, all_lanes_busy);
  }

  DrainMeter meter_;
  int64_t now_ns_ = 0;
};

TEST_F(DrainMeterTest, TheDefaultUntilSomethingIsKnown) {
  EXPECT_EQ(meter_.RetryAfterMs(1000), kDefaultRetryMs);
  EXPECT_EQ(meter_.TimePerRequestNs(), 0);
}

TEST_F(DrainMeterTest, AMeasuredRate) {
  for (int i = 0; i < 5; ++i) Finish(10, 20);
  EXPECT_DOUBLE_EQ(meter_.TimePerRequestNs(), 2 * kMs);
  EXPECT_EQ(meter_.RetryAfterMs(100), 200);
  EXPECT_EQ(meter_.RetryAfterMs(101), 202);
}

TEST_F(DrainMeterTest, LanesSideBySideAreFasterThanEach) {
  constexpr int64_t kLanes = 3;
  for (int64_t finished = 1; finished <= 100; ++finished) {
    meter_.Finished(1, (finished - kLanes) * 5 * kMs, finished * 5 * kMs, /*all_lanes_busy=*/true);
  }
  EXPECT_NEAR(meter_.TimePerRequestNs(), 5.0 * kMs, 0.01 * kMs);
}

TEST_F(DrainMeterTest, IdleTimeDoesNotCount) {
  Finish(10, 20);
  now_ns_ += 3'600'000 * kMs;
  meter_.LaneIdled();
  Finish(10, 20, /*all_lanes_busy=*/false);
  now_ns_ += 3'600'000 * kMs;
  Finish(10, 20);
  EXPECT_DOUBLE_EQ(meter_.TimePerRequestNs(), 2 * kMs);
}

TEST_F(DrainMeterTest, AQuietServerIsAtLeastAsFastAsItsLanes) {
  Finish(1, 100);
  for (int i = 0; i < 50; ++i) {
    meter_.LaneIdled();
    Finish(1, 2, /*all_lanes_busy=*/false);
  }
  EXPECT_NEAR(meter_.TimePerRequestNs(), 2.0 * kMs, 0.2 * kMs);
  meter_.LaneIdled();
  Finish(1, 50, /*all_lanes_busy=*/false);
  EXPECT_NEAR(meter_.TimePerRequestNs(), 2.0 * kMs, 0.2 * kMs) << "it may well be faster than one lane";
}

TEST_F(DrainMeterTest, FollowsAChange) {
  for (int i = 0; i < 5; ++i) Finish(10, 20);
  for (int i = 0; i < 50; ++i) Finish(1, 20);
  EXPECT_NEAR(static_cast<double>(meter_.RetryAfterMs(100)), 2000, 100);
}

TEST_F(DrainMeterTest, IsBounded) {
  Finish(1, 1000);
  EXPECT_EQ(meter_.RetryAfterMs(0), kLeastRetryMs);
  EXPECT_EQ(meter_.RetryAfterMs(int64_t{1} << 40), kGreatestRetryMs);
}

}  // namespace
}  // namespace flashcore
