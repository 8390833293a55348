#include "client/load/experiment.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

namespace flashcore {
namespace {

constexpr int64_t kMs = 1'000'000;

// A point whose calls all took `latency_ms`.
PointReport PointWith(const RunOptions& run, double latency_ms, int answered = 1000) {
  PointReport point;
  point.run = run;
  for (int i = 0; i < answered; ++i) {
    point.result.stats.Record({.ended_ns = std::llround(latency_ms * kMs)}, 0, {}, {});
  }
  point.result.elapsed = absl::Seconds(1);
  return point;
}

LoadOptions SearchOptions() {
  LoadOptions options;
  options.runs = {{.rate = 1}};
  options.search_p99 = absl::Milliseconds(10);
  return options;
}

TEST(ExperimentTest, ASweepMeasuresEveryPointInOrder) {
  LoadOptions options;
  options.runs = {{.concurrency = 1}, {.concurrency = 4}, {.concurrency = 2}};
  std::vector<int> seen;
  LoadReport report;
  RunExperiment(
      options,
      [&seen](const RunOptions& run) {
        seen.push_back(run.concurrency);
        return PointWith(run, 1);
      },
      report);
  EXPECT_EQ(seen, (std::vector<int>{1, 4, 2}));
  EXPECT_EQ(report.points.size(), 3U);
  EXPECT_EQ(report.main, 2U);
  EXPECT_FALSE(report.search.has_value());
}

TEST(ExperimentTest, AStoppedPointIsTheLast) {
  LoadOptions options;
  options.runs = {{.concurrency = 1}, {.concurrency = 4}};
  LoadReport report;
  RunExperiment(
      options,
      [](const RunOptions& run) {
        PointReport point = PointWith(run, 1);
        point.result.stopped = true;
        return point;
      },
      report);
  EXPECT_EQ(report.points.size(), 1U);
}

TEST(ExperimentTest, ASearchReportsTheRateThatItFound) {
  LoadReport report;
  RunExperiment(
      SearchOptions(), [](const RunOptions& run) { return PointWith(run, run.rate < 900 ? 5 : 50); }, report);
  ASSERT_TRUE(report.search.has_value());
  ASSERT_TRUE(report.search->rate.has_value());
  EXPECT_LE(*report.search->rate, 900);
  EXPECT_GE(*report.search->rate * 1.05, 900);
  EXPECT_EQ(report.point().run.rate, *report.search->rate);
}

TEST(ExperimentTest, ATrialHoldsOnlyIfNearlyAllIsAnsweredInTime) {
  const LoadOptions options = SearchOptions();
  const RunOptions run{.rate = 1};
  EXPECT_EQ(JudgeTrial(options, PointWith(run, 9)), Trial::kHeld);
  EXPECT_EQ(JudgeTrial(options, PointWith(run, 11)), Trial::kFailed);
  EXPECT_EQ(JudgeTrial(options, PointWith(run, 9, 0)), Trial::kFailed);

  PointReport unsent = PointWith(run, 9);
  unsent.result.unsent = 1;
  EXPECT_EQ(JudgeTrial(options, unsent), Trial::kFailed);

  PointReport failing = PointWith(run, 9);
  CallOutcome failure;
  failure.status = absl::ResourceExhaustedError("full");
  failing.result.stats.Record({}, 0, {}, failure);
  EXPECT_EQ(JudgeTrial(options, failing), Trial::kHeld);  // One in a thousand.
  for (int i = 0; i < 5; ++i) failing.result.stats.Record({}, 0, {}, failure);
  EXPECT_EQ(JudgeTrial(options, failing), Trial::kFailed);
}

TEST(ExperimentTest, ATrialThatFailsBecauseOfTheClientSaysSo) {
  PointReport point = PointWith({.rate = 1}, 11);
  point.validity.reasons = {"late sends"};
  EXPECT_EQ(JudgeTrial(SearchOptions(), point), Trial::kClientLimit);
  // What holds in spite of a slow client, holds.
  PointReport held = PointWith({.rate = 1}, 9);
  held.validity.reasons = {"late sends"};
  EXPECT_EQ(JudgeTrial(SearchOptions(), held), Trial::kHeld);
}

}  // namespace
}  // namespace flashcore
