#include "bench/tune/regret.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/bench/tuned_problems.h"

namespace flashcore::bench {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(RegretTest, ThereIsNoneWhereTheModelIsRight) {
  const CostTable costs = CheckedInCosts();
  const Regret regret = RegretOf(Observe(SyntheticTimings("mission slice decode", costs)), costs);
  EXPECT_DOUBLE_EQ(regret.mean, 1.0);
  EXPECT_DOUBLE_EQ(regret.most, 1.0);
  EXPECT_DOUBLE_EQ(RegretOf({}, costs).mean, 1.0);
}

TEST(RegretTest, IsWhatTheChosenPlanTakesOverTheBest) {
  const CostTable costs = CheckedInCosts();
  std::vector<PlanTiming> timings = SyntheticTimings("1,8,512,64 1,8,2048,64,causal", costs);
  const Regret right = RegretOf(Observe(timings), costs);
  ASSERT_THAT(right.choices, SizeIs(2));
  // Of the second problem, the plan that the model chooses takes one and a half times as long as the best.
  const PlanChoice second = std::max(right.choices[0].chosen, right.choices[1].chosen) == right.choices[0].chosen
                                ? right.choices[0]
                                : right.choices[1];
  double next_us = 1e9;
  for (size_t i = 0; i < timings.size(); ++i) {
    if (i != second.chosen && timings[i].problem.options.causal) next_us = std::min(next_us, timings[i].us);
  }
  timings[second.chosen].us = 1.5 * next_us;
  const Regret regret = RegretOf(Observe(timings), costs);
  EXPECT_DOUBLE_EQ(regret.mean, 1.25);
  EXPECT_DOUBLE_EQ(regret.most, 1.5);
  EXPECT_DOUBLE_EQ(regret.choices.front().ratio, 1.5);
  EXPECT_EQ(regret.choices.front().chosen, second.chosen);
  EXPECT_DOUBLE_EQ(timings[regret.choices.front().best].us, next_us);
  EXPECT_THAT(ToString(regret), HasSubstr("1.2500 in the mean"));
  const std::string worst = WorstChoices(regret, timings, 1);
  EXPECT_THAT(worst, HasSubstr("1.50  1,8,2048,64,causal on 132 SMs"));
  EXPECT_EQ(std::count(worst.begin(), worst.end(), '\n'), 1);
}

TEST(RegretTest, WholeTilesAreNamed) {
  const CostTable costs = CheckedInCosts();
  std::vector<PlanTiming> timings = SyntheticTimings("2,32,8192,64", costs);
  timings.erase(
      std::remove_if(timings.begin(), timings.end(), [](const PlanTiming& t) { return t.cut.whole_tiles == 0; }),
      timings.end());
  ASSERT_FALSE(timings.empty());
  timings.resize(1);
  const std::string whole = " after " + std::to_string(timings.front().cut.whole_tiles) + " whole, ";
  EXPECT_THAT(WorstChoices(RegretOf(Observe(timings), costs), timings, 1), HasSubstr(whole));
}

TEST(RegretTest, ATwentiethIsBeyondThePercentile) {
  const CostTable costs = CheckedInCosts();
  std::string shapes;
  for (int i = 0; i < 40; ++i) shapes += " 1,8," + std::to_string(100 + i) + ",64";
  std::vector<PlanTiming> timings = SyntheticTimings(shapes, costs);
  const Regret right = RegretOf(Observe(timings), costs);
  for (int i = 0; i < 2; ++i) timings[right.choices[static_cast<size_t>(i)].chosen].us *= 10.0;
  const Regret regret = RegretOf(Observe(timings), costs);
  EXPECT_GT(regret.choices[1].ratio, 2.0);
  EXPECT_DOUBLE_EQ(regret.percentile_95, 1.0);
}

}  // namespace
}  // namespace flashcore::bench
