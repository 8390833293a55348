#include "server/telemetry/clock.h"

#include "gtest/gtest.h"

namespace flashcore {
namespace {

TEST(ClockTest, SteadyClockNeverGoesBack) {
  const Clock& clock = SteadyClock();
  int64_t last_ns = clock.NowNs();
  for (int i = 0; i < 1000; ++i) {
    const int64_t now_ns = clock.NowNs();
    ASSERT_GE(now_ns, last_ns);
    last_ns = now_ns;
  }
  EXPECT_LT(last_ns, kNoDeadlineNs);
  EXPECT_EQ(&clock, &SteadyClock());
}

}  // namespace
}  // namespace flashcore
