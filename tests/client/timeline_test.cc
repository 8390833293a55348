#include "client/load/timeline.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace flashcore {
namespace {

constexpr int64_t kWidth = Timeline::kFirstWidthNs;

TEST(TimelineTest, CountsGoWhereTheyHappened) {
  Timeline timeline;
  timeline.RecordAnswer(0, 5);
  timeline.RecordAnswer(kWidth - 1, 7);
  timeline.RecordFailure(2 * kWidth);
  timeline.RecordAnswer(-1, 9);  // Counts as 0.
  ASSERT_EQ(timeline.intervals().size(), 3U);
  EXPECT_EQ(timeline.intervals()[0].answered, 3);
  EXPECT_EQ(timeline.intervals()[0].latency.max(), 9);
  EXPECT_EQ(timeline.intervals()[1].answered, 0);
  EXPECT_EQ(timeline.intervals()[2].failed, 1);
}

TEST(TimelineTest, ALongRunHasWiderIntervalsAndNotMoreOfThem) {
  Timeline timeline;
  constexpr int64_t kCalls = 100'000;
  for (int64_t i = 0; i < kCalls; ++i) timeline.RecordAnswer(i * kWidth / 10, i);
  EXPECT_LE(timeline.intervals().size(), Timeline::kMaxIntervals);
  EXPECT_GT(timeline.intervals().size(), Timeline::kMaxIntervals / 2);
  int64_t answered = 0;
  int64_t last_max = -1;
  for (const TimelineInterval& interval : timeline.intervals()) {
    answered += interval.answered;
    EXPECT_GT(interval.latency.max(), last_max);
    last_max = interval.latency.max();
  }
  EXPECT_EQ(answered, kCalls);
}

TEST(TimelineTest, MergingAlignsDifferentWidths) {
  Timeline narrow;
  Timeline wide;
  narrow.RecordAnswer(3 * kWidth, 1);
  wide.RecordAnswer(1000 * kWidth, 2);
  narrow.Merge(wide);
  EXPECT_EQ(narrow.width_ns(), wide.width_ns());
  EXPECT_EQ(narrow.intervals().front().answered, 1);
  EXPECT_EQ(narrow.intervals().back().answered, 1);
  Timeline other;
  other.RecordFailure(0);
  wide.Merge(other);
  EXPECT_EQ(wide.intervals().front().failed, 1);
  EXPECT_EQ(wide.width_ns(), narrow.width_ns());
}

}  // namespace
}  // namespace flashcore
