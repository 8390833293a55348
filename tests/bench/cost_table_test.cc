#include "bench/tune/cost_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "tests/bench/tuned_problems.h"

namespace flashcore::bench {
namespace {

using ::testing::HasSubstr;

// Without the lines that say where it comes from.
std::string Body(const std::string& source) { return source.substr(source.find("// step,")); }

TEST(CostTableTest, TheCheckedInFileIsWhatTheCheckedInTableIsWrittenAs) {
  std::ifstream file(FLASHCORE_COSTS);
  std::stringstream text;
  text << file.rdbuf();
  ASSERT_FALSE(text.str().empty());
  EXPECT_EQ(Body(ToSource(CheckedInCosts(), "some timings")), Body(text.str()));
}

TEST(CostTableTest, ASourceSaysWhereItComesFromAndWhichTileIsWhich) {
  CostTable costs = CheckedInCosts();
  costs[0][0] = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0};
  const std::string source = ToSource(costs, "7 timings of a test");
  EXPECT_THAT(source, HasSubstr("edit this.\n// 7 timings of a test.\n// step,"));
  EXPECT_THAT(source, HasSubstr("    {1.000, 2.000, 3.000, 4.000, 5.000, 6.000, 7.000, 8.000},  // 32, wide\n"));
}

TEST(CostTableTest, EveryConfigurationHasItsCosts) {
  for (const TileCosts& costs : CheckedInCosts()) {
    for (const cuda::TileCost& cost : costs) {
      EXPECT_GT(cost.step, 0.0);
      EXPECT_GT(cost.latency, 0.0);
      EXPECT_GT(cost.cta, 0.0);
      EXPECT_GE(cost.capped, 1.0);
    }
  }
}

TEST(CostTableTest, PlansOfAProblemOnADeviceBelongTogether) {
  std::vector<PlanTiming> timings = SyntheticTimings("1,8,512,64 1,8,512,128", CheckedInCosts());
  const size_t once = timings.size();
  timings.insert(timings.end(), timings.begin(), timings.end());
  for (size_t i = once; i < timings.size(); ++i) timings[i].device.multiprocessors = 56;
  timings.front().us = 0.5;
  const std::vector<Observation> plans = Observe(timings);
  ASSERT_EQ(plans.size(), 2 * once);
  EXPECT_EQ(plans.front().problem, 0U);
  EXPECT_EQ(plans[once - 1].problem, 1U);
  EXPECT_EQ(plans[once].problem, 2U);
  EXPECT_EQ(plans.back().problem, 3U);
  EXPECT_EQ(plans[1].best_us, 0.5);
  EXPECT_NE(plans[once].best_us, 0.5);
}

}  // namespace
}  // namespace flashcore::bench
