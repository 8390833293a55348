// The search against servers that are a formula: latency grows towards a capacity, with noise.
#include "client/load/rate_search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <random>
#include <set>

namespace flashcore {
namespace {

// A queue in front of one worker: p99 in seconds at `rate` of `capacity`.
double P99(double rate, double capacity) {
  constexpr double kServiceSeconds = 0.001;
  return rate < capacity ? kServiceSeconds / (1 - rate / capacity) : std::numeric_limits<double>::infinity();
}

constexpr double kTargetSeconds = 0.010;
// 1 / (1 - r) = 10 at r = 0.9.
constexpr double kShareAtTarget = 0.9;

template <typename Judge>
RateSearchResult SearchWith(const RateSearchOptions& options, int& trials, Judge judge) {
  RateSearch search(options);
  trials = 0;
  for (auto rate = search.Next(); rate.has_value(); rate = search.Next()) {
    search.Report(judge(*rate));
    ++trials;
  }
  return search.Result();
}

TEST(RateSearchTest, FindsTheRateOfAnySteadyServer) {
  for (const double capacity : {3.0, 77.0, 1000.0, 54'321.0, 400'000.0}) {
    int trials = 0;
    const RateSearchResult result = SearchWith({.first_rate = 100}, trials, [capacity](double rate) {
      return P99(rate, capacity) <= kTargetSeconds ? Trial::kHeld : Trial::kFailed;
    });
    const double truth = kShareAtTarget * capacity;
    ASSERT_TRUE(result.rate.has_value()) << capacity;
    EXPECT_TRUE(result.confirmed);
    EXPECT_LE(*result.rate, truth);
    EXPECT_GE(*result.rate * 1.05, truth);
    EXPECT_GT(*result.failed_rate, truth);
    EXPECT_LE(trials, 30);
  }
}

TEST(RateSearchTest, LuckIsNotConfirmed) {
  // The rates above 700 hold once, and never again.
  std::set<double> tried;
  int trials = 0;
  const RateSearchResult result = SearchWith({.first_rate = 100}, trials, [&tried](double rate) {
    if (rate > 2000) return Trial::kFailed;
    if (rate <= 700) return Trial::kHeld;
    return tried.insert(rate).second ? Trial::kHeld : Trial::kFailed;
  });
  ASSERT_TRUE(result.rate.has_value());
  EXPECT_TRUE(result.confirmed);
  EXPECT_LE(*result.rate, 700);
  EXPECT_GE(*result.rate, 650);
}

TEST(RateSearchTest, NoiseMovesTheAnswerAndDoesNotBreakIt) {
  constexpr uint64_t kSeed = 23;
  std::printf("seed %llu\n", static_cast<unsigned long long>(kSeed));
  std::mt19937_64 random(kSeed);
  std::lognormal_distribution<double> noise(0, 0.2);
  for (int i = 0; i < 200; ++i) {
    int trials = 0;
    const RateSearchResult result = SearchWith({.first_rate = 50}, trials, [&](double rate) {
      return P99(rate, 5000) * noise(random) <= kTargetSeconds ? Trial::kHeld : Trial::kFailed;
    });
    ASSERT_TRUE(result.rate.has_value());
    EXPECT_GT(*result.rate, 0.75 * 5000);
    EXPECT_LT(*result.rate, 5000);
    EXPECT_LE(trials, RateSearchOptions().max_trials);
  }
}

TEST(RateSearchTest, NothingHolds) {
  int trials = 0;
  const RateSearchResult result = SearchWith({.first_rate = 100}, trials, [](double) { return Trial::kFailed; });
  EXPECT_FALSE(result.rate.has_value());
  EXPECT_EQ(result.failed_rate, 1);
}

TEST(RateSearchTest, EverythingHoldsUpToTheBound) {
  int trials = 0;
  const RateSearchResult result =
      SearchWith({.first_rate = 100, .highest_rate = 5000}, trials, [](double) { return Trial::kHeld; });
  EXPECT_EQ(result.rate, 5000);
  EXPECT_TRUE(result.confirmed);
  EXPECT_EQ(trials, 7 + RateSearch::kConfirmations) << "100, 200, 400 and so on to 3200, and the bound";
  EXPECT_FALSE(result.failed_rate.has_value());
}

TEST(RateSearchTest, TheClientsLimitIsSaidToBeThat) {
  int trials = 0;
  const RateSearchResult result = SearchWith(
      {.first_rate = 100}, trials, [](double rate) { return rate <= 3000 ? Trial::kHeld : Trial::kClientLimit; });
  EXPECT_NEAR(*result.rate, 3000, 150);
  EXPECT_TRUE(result.client_limit);
}

TEST(RateSearchTest, EndsWhenItHasTriedEnough) {
  int trials = 0;
  const RateSearchResult result =
      SearchWith({.first_rate = 100, .max_trials = 3}, trials, [](double) { return Trial::kHeld; });
  EXPECT_EQ(trials, 3);
  EXPECT_EQ(result.rate, 400);
  EXPECT_FALSE(result.confirmed);
}

}  // namespace
}  // namespace flashcore
