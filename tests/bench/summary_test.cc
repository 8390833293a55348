#include "bench/kernel/summary.h"

#include <gtest/gtest.h>

namespace flashcore::bench {
namespace {

TEST(SummaryTest, InterpolatesBetweenNeighbours) {
  const Summary summary = Summarize({4, 1, 3, 2});
  EXPECT_DOUBLE_EQ(summary.median_us, 2.5);
  EXPECT_DOUBLE_EQ(summary.p10_us, 1.3);
  EXPECT_DOUBLE_EQ(summary.p90_us, 3.7);
  EXPECT_EQ(summary.timings, 4);
}

TEST(SummaryTest, OneTimingIsAllThereIs) {
  const Summary summary = Summarize({7});
  EXPECT_DOUBLE_EQ(summary.median_us, 7);
  EXPECT_DOUBLE_EQ(summary.p10_us, 7);
  EXPECT_DOUBLE_EQ(summary.p90_us, 7);
}

}  // namespace
}  // namespace flashcore::bench
