#include "bench/tune/search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <map>
#include <numeric>
#include <vector>

namespace flashcore::bench {
namespace {

using ::testing::SizeIs;

// Six dimensions of eight values each; only points of an even sum are valid.
Space LargeSpace() {
  Space space;
  for (const char* name : {"rows", "keys", "warps", "stages", "splits", "ctas"}) {
    space.dimensions.push_back({name, {1, 2, 3, 4, 5, 6, 7, 8}});
  }
  space.valid = [](const Point& point) { return std::accumulate(point.begin(), point.end(), 0) % 2 == 0; };
  return space;
}

const Point kOptimum = {3, 7, 2, 5, 8, 1};

// A bowl with ripples around the optimum; the corner where the first two values are equal computes nonsense, very fast.
Evaluation Bowl(const Point& point) {
  if (point[0] == point[1]) return {false, 0.001};
  double us = 10.0;
  for (size_t i = 0; i < point.size(); ++i) {
    const int distance = std::abs(point[i] - kOptimum[i]);
    us += distance + (distance % 2) * 0.5;
  }
  return {true, us};
}

SearchOptions WithSeed(uint64_t seed, size_t budget) {
  SearchOptions options;
  options.seed = seed;
  options.budget = budget;
  return options;
}

TEST(SearchTest, FindsTheOptimumOfALargeSpace) {
  constexpr uint64_t kSeeds = 20;
  constexpr size_t kBudget = 1500;  // Of 131,072 valid points.
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const SearchResult result = Search(LargeSpace(), Bowl, {}, WithSeed(seed, kBudget));
    ASSERT_TRUE(result.best.has_value()) << "seed " << seed;
    EXPECT_EQ(result.best->point, kOptimum) << "seed " << seed;
    EXPECT_LE(result.trials.size(), kBudget);
    EXPECT_FALSE(result.exhaustive);
  }
}

TEST(SearchTest, BeatsChance) {
  constexpr uint64_t kSeeds = 10;
  constexpr size_t kBudget = 200;
  double evolved = 0.0;
  double drawn = 0.0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SearchOptions options = WithSeed(seed, kBudget);
    evolved += Search(LargeSpace(), Bowl, {}, options).best->evaluation.us;
    options.population = kBudget;  // Then the first generation takes half of the budget,
    options.mutation_rate = 1.0;   // and children resemble nobody.
    drawn += Search(LargeSpace(), Bowl, {}, options).best->evaluation.us;
  }
  EXPECT_LT(evolved, drawn);
}

TEST(SearchTest, EvaluatesOnlyValidPointsAndEachOnce) {
  const Space space = LargeSpace();
  std::map<Point, int> calls;
  const auto evaluate = [&](const Point& point) {
    EXPECT_TRUE(space.valid(point));
    ++calls[point];
    return Bowl(point);
  };
  SearchOptions options = WithSeed(7, 300);
  options.finalists = 0;
  const SearchResult result = Search(space, evaluate, {}, options);
  EXPECT_THAT(result.trials, SizeIs(300));
  for (const auto& [point, count] : calls) EXPECT_EQ(count, 1);
}

TEST(SearchTest, IsDeterministic) {
  const SearchResult first = Search(LargeSpace(), Bowl, {}, WithSeed(3, 200));
  const SearchResult second = Search(LargeSpace(), Bowl, {}, WithSeed(3, 200));
  const SearchResult other = Search(LargeSpace(), Bowl, {}, WithSeed(4, 200));
  ASSERT_EQ(first.trials.size(), second.trials.size());
  bool differs = false;
  for (size_t i = 0; i < first.trials.size(); ++i) {
    EXPECT_EQ(first.trials[i].point, second.trials[i].point);
    differs |= first.trials[i].point != other.trials[i].point;
  }
  EXPECT_EQ(first.best->point, second.best->point);
  EXPECT_TRUE(differs);
}

TEST(SearchTest, NeverReturnsWhatIsIncorrect) {
  const auto nothing_works = [](const Point& /*point*/) { return Evaluation{false, 1.0}; };
  EXPECT_FALSE(Search(LargeSpace(), nothing_works, {}, WithSeed(1, 100)).best.has_value());

  // Wrong on the second look: a race that the first did not show.
  std::map<Point, int> looks;
  const auto flaky = [&looks](const Point& point) {
    const bool lucky = point[0] < 4;
    return Evaluation{!lucky || ++looks[point] == 1, lucky ? 1.0 : 2.0};
  };
  SearchOptions options = WithSeed(1, 100);
  options.population = options.budget;
  const SearchResult result = Search(LargeSpace(), flaky, {}, options);
  ASSERT_TRUE(result.best.has_value());
  EXPECT_GE(result.best->point[0], 4);
}

TEST(SearchTest, TakesTheSecondTimingOfFinalists) {
  Space space;
  space.dimensions = {{"only", {1, 2, 3}}};
  std::map<Point, int> looks;
  const auto lucky_once = [&looks](const Point& point) {
    const bool first = ++looks[point] == 1;
    return Evaluation{true, point[0] == 1 && first ? 1.0 : 10.0 - point[0]};
  };
  const SearchResult result = Search(space, lucky_once, {}, WithSeed(1, 10));
  EXPECT_TRUE(result.exhaustive);
  ASSERT_TRUE(result.best.has_value());
  EXPECT_EQ(result.best->point, Point{3});
  EXPECT_EQ(result.best->evaluation.us, 7.0);
}

TEST(SearchTest, TimesOnlyFinalistsAgain) {
  SearchOptions options = WithSeed(1, 60);
  options.finalists = 4;
  size_t evaluations = 0;
  const auto counted = [&evaluations](const Point& point) {
    ++evaluations;
    return Bowl(point);
  };
  const SearchResult result = Search(LargeSpace(), counted, {}, options);
  EXPECT_EQ(evaluations, result.trials.size() + 4);
}

TEST(SearchTest, BeginsWithTheGivenPoints) {
  const std::vector<Point> start = {kOptimum, {9, 9, 9, 9, 9, 9}, {1, 2}, {1, 2, 1, 1, 1, 1}};
  const SearchResult result = Search(LargeSpace(), Bowl, start, WithSeed(1, 1));
  ASSERT_THAT(result.trials, SizeIs(1));
  EXPECT_EQ(result.best->point, kOptimum);
}

TEST(SearchTest, GivenPointsOutsideOfTheSpaceAreLeftOut) {
  const SearchResult result = Search(LargeSpace(), Bowl, {{9, 9, 9, 9, 9, 9}, {1, 3}}, WithSeed(1, 500));
  ASSERT_FALSE(result.trials.empty());
  for (const Trial& trial : result.trials) {
    ASSERT_THAT(trial.point, SizeIs(6));
    for (const int value : trial.point) EXPECT_TRUE(value >= 1 && value <= 8) << value;
  }
}

TEST(SearchTest, EndsWhereThereIsNothingToFind) {
  Space space = LargeSpace();
  space.valid = [](const Point& point) { return point == kOptimum; };
  const SearchResult result = Search(space, Bowl, {}, WithSeed(1, 50));
  EXPECT_EQ(result.best->point, kOptimum);
  space.valid = [](const Point& /*point*/) { return false; };
  EXPECT_FALSE(Search(space, Bowl, {}, WithSeed(1, 50)).best.has_value());
}

}  // namespace
}  // namespace flashcore::bench
