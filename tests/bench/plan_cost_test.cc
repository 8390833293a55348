#include "bench/tune/plan_cost.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>

namespace flashcore::bench {
namespace {

// Problem 0 has 10 keys and problem 1 has 1000; the point is a threshold of keys above which a plan splits.
PlanKey PlanOf(size_t problem, const Point& point) {
  const int keys = problem == 0 ? 10 : 1000;
  return {keys > point[0] ? 1 : 0};
}

// Splitting helps the large problem and hurts the small one.
Evaluation Measure(size_t problem, const PlanKey& plan) {
  const bool split = plan[0] == 1;
  if (problem == 0) return {true, split ? 8.0 : 2.0};
  return {true, split ? 50.0 : 200.0};
}

TEST(PlanCostTest, IsTheGeometricMean) {
  PlanCost cost(2, PlanOf, Measure);
  EXPECT_DOUBLE_EQ(cost({100}).us, 10.0);
  EXPECT_DOUBLE_EQ(cost({5}).us, 20.0);
  EXPECT_TRUE(cost({5}).ok);
}

TEST(PlanCostTest, MeasuresEachPlanTwiceAndNoMore) {
  std::map<std::pair<size_t, PlanKey>, int> calls;
  PlanCost cost(2, PlanOf, [&calls](size_t problem, const PlanKey& plan) {
    ++calls[{problem, plan}];
    return Measure(problem, plan);
  });
  for (int threshold = 0; threshold < 2000; threshold += 3) cost({threshold});
  EXPECT_EQ(cost.measured(), 4U);
  for (const auto& [plan, count] : calls) EXPECT_EQ(count, 2);
}

TEST(PlanCostTest, KnowsTheProblemThatLosesTheMost) {
  PlanCost cost(2, PlanOf, Measure);
  EXPECT_DOUBLE_EQ(cost.WorstRatio({100}, {5}), 1.0);
  EXPECT_DOUBLE_EQ(cost.WorstRatio({5}, {100}), 4.0);
  EXPECT_DOUBLE_EQ(cost.WorstRatio({100}, {5000}), 1.0);
  EXPECT_DOUBLE_EQ(cost.WorstRatio({5000}, {100}), 4.0);
}

TEST(PlanCostTest, MeasuresAnewWhatItForgot) {
  int calls = 0;
  PlanCost cost(2, PlanOf, [&calls](size_t problem, const PlanKey& plan) {
    ++calls;
    return Measure(problem, plan);
  });
  cost({100});
  EXPECT_EQ(calls, 4);
  cost.Forget();
  EXPECT_EQ(cost.measured(), 0U);
  cost({100});
  EXPECT_EQ(calls, 8);
}

TEST(PlanCostTest, TakesTheSlowerOfTwoTimings) {
  int call = 0;
  PlanCost cost(1, PlanOf, [&call](size_t /*problem*/, const PlanKey& /*plan*/) {
    return Evaluation{true, ++call == 1 ? 1.0 : 3.0};
  });
  EXPECT_DOUBLE_EQ(cost({1}).us, 3.0);
}

TEST(PlanCostTest, OneWrongPlanSpoilsThePoint) {
  PlanCost always(2, PlanOf, [](size_t problem, const PlanKey& plan) {
    Evaluation evaluation = Measure(problem, plan);
    evaluation.ok = problem == 0 || plan[0] == 0;
    return evaluation;
  });
  EXPECT_FALSE(always({100}).ok);
  EXPECT_TRUE(always({5000}).ok);

  int call = 0;
  PlanCost second_time(1, PlanOf, [&call](size_t /*problem*/, const PlanKey& /*plan*/) {
    return Evaluation{++call == 1, 1.0};
  });
  EXPECT_FALSE(second_time({1}).ok);
}

TEST(PlanCostTest, LetsASearchFindTheThreshold) {
  Space space;
  space.dimensions = {{"split_above", {1, 4, 16, 64, 256, 1024, 4096}}};
  PlanCost cost(2, PlanOf, Measure);
  const SearchResult result = Search(space, std::ref(cost), {}, SearchOptions());
  ASSERT_TRUE(result.best.has_value());
  EXPECT_GE(result.best->point[0], 10);
  EXPECT_LT(result.best->point[0], 1000);
  EXPECT_DOUBLE_EQ(result.best->evaluation.us, 10.0);
}

}  // namespace
}  // namespace flashcore::bench
