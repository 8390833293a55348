#include "bench/tune/plan_timings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>

namespace flashcore::bench {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr char kLine[] = "132 52428800 233472 2,8,512,64,kv_heads=2,causal 3 4 128 16 5.64";

TEST(PlanTimingsTest, ALineRoundTrips) {
  const absl::StatusOr<PlanTiming> timing = ParseTiming(kLine);
  ASSERT_TRUE(timing.ok()) << timing.status();
  EXPECT_EQ(timing->device.multiprocessors, 132);
  EXPECT_EQ(timing->device.l2_bytes, 52428800);
  EXPECT_EQ(timing->device.shared_bytes_per_sm, 233472);
  EXPECT_EQ(timing->problem.num_kv_heads, 2);
  EXPECT_TRUE(timing->problem.options.causal);
  EXPECT_EQ(timing->kind, cuda::TileKind::kNarrow);
  EXPECT_EQ(timing->cut.splits, 4);
  EXPECT_EQ(timing->cut.keys_per_split, 128);
  EXPECT_EQ(timing->cut.whole_tiles, 16);
  EXPECT_DOUBLE_EQ(timing->us, 5.64);
  EXPECT_EQ(ToLine(*timing), kLine);
}

TEST(PlanTimingsTest, AnOlderLineLeavesNoTileWhole) {
  const absl::StatusOr<PlanTiming> timing = ParseTiming("132 52428800 233472 1,8,512,64 3 4 128 5.64");
  ASSERT_TRUE(timing.ok()) << timing.status();
  EXPECT_EQ(timing->cut.keys_per_split, 128);
  EXPECT_EQ(timing->cut.whole_tiles, 0);
  EXPECT_DOUBLE_EQ(timing->us, 5.64);
}

TEST(PlanTimingsTest, CommentsAndEmptyLinesAreNoTimings) {
  std::stringstream text(std::string("# a GPU\n") + kLine + "\n\n# more\n" + kLine + "\n");
  const absl::StatusOr<std::vector<PlanTiming>> timings = ReadTimings(text);
  ASSERT_TRUE(timings.ok()) << timings.status();
  EXPECT_THAT(*timings, SizeIs(2));
}

TEST(PlanTimingsTest, WhatIsNoTimingIsNamed) {
  for (const char* line :
       {"132 1 1 1,8,512,64 3 1 512", "132 1 1 1,8,512,64 4 1 512 5.6", "132 1 1 1,8,512 3 1 512 5.6",
        "132 1 1 1,8,512,64 3 1 512 0", "0 1 1 1,8,512,64 3 1 512 5.6", "132 1 1 1,8,512,63 3 1 512 5.6",
        "132 1 1 1,8,512,64 3 0 512 5.6", "132 1 1 1,8,512,64 3 one 512 5.6", "132 1 1 1,8,512,64 3 2 256 -1 5.6",
        "132 1 1 1,8,512,64 3 2 256 1 1 5.6"}) {
    std::stringstream text(std::string(kLine) + "\n" + line + "\n");
    const absl::StatusOr<std::vector<PlanTiming>> timings = ReadTimings(text);
    ASSERT_FALSE(timings.ok()) << line;
    EXPECT_EQ(timings.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(timings.status().message()), HasSubstr(line));
  }
}

}  // namespace
}  // namespace flashcore::bench
