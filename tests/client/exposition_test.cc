#include "client/load/exposition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "client/load/server_metrics.h"

namespace flashcore {
namespace {

constexpr char kBefore[] = R"(# HELP flashcore_batches_total Batches.
# TYPE flashcore_batches_total counter
flashcore_batches_total 10
flashcore_requests_total{code="OK",method="Attend"} 40
flashcore_stage_duration_seconds_bucket{stage="queue",le="0.001"} 10
flashcore_stage_duration_seconds_bucket{stage="queue",le="0.01"} 10
flashcore_stage_duration_seconds_bucket{stage="queue",le="+Inf"} 10
flashcore_stage_duration_seconds_sum{stage="queue"} 0.001
flashcore_stage_duration_seconds_count{stage="queue"} 10
)";

constexpr char kAfter[] = R"(
flashcore_batches_total 30 1700000000
flashcore_requests_total{code="OK",method="Attend"} 90
flashcore_requests_total{code="RESOURCE_EXHAUSTED",method="Attend"} 5
flashcore_requests_total{code="OK",method="AttendStream"} 1
flashcore_rejections_total{reason="queue_full"} 5
flashcore_requests_in_flight 2
flashcore_build_info{device="a b {c}",version="1"} 1
flashcore_batch_requests_sum 60
flashcore_batch_requests_count 20
flashcore_stage_duration_seconds_bucket{stage="queue",le="0.001"} 60
flashcore_stage_duration_seconds_bucket{stage="queue",le="0.01"} 110
flashcore_stage_duration_seconds_bucket{stage="queue",le="+Inf"} 110
flashcore_stage_duration_seconds_sum{stage="queue"} 0.301
flashcore_stage_duration_seconds_count{stage="queue"} 110
flashcore_stage_duration_seconds_count{stage="upload"} 0
nonsense
half{a="b"
)";

TEST(ExpositionTest, ReadsSeriesAndSkipsTheRest) {
  const Exposition exposition = Exposition::Parse(kAfter);
  EXPECT_EQ(exposition.Value("flashcore_batches_total"), 30);
  EXPECT_EQ(exposition.Value("flashcore_build_info{device=\"a b {c}\",version=\"1\"}"), 1);
  EXPECT_FALSE(exposition.Has("nonsense"));
  EXPECT_EQ(exposition.Value("no_such_series"), 0);
}

TEST(ExpositionTest, AHistogramBetweenTwoScrapes) {
  const HistogramDelta delta = Delta(Exposition::Parse(kBefore), Exposition::Parse(kAfter),
                                     "flashcore_stage_duration_seconds", "stage=\"queue\"");
  EXPECT_EQ(delta.count, 100);
  EXPECT_DOUBLE_EQ(delta.mean(), 0.003);
  ASSERT_EQ(delta.buckets.size(), 3U);
  // Half of the values are up to a millisecond, the others up to ten.
  EXPECT_DOUBLE_EQ(delta.Quantile(0.25), 0.0005);
  EXPECT_DOUBLE_EQ(delta.Quantile(0.5), 0.001);
  EXPECT_NEAR(delta.Quantile(0.99), 0.001 + 0.009 * 0.98, 1e-9);
}

TEST(ExpositionTest, QuantilesBeyondTheLastBoundAreThatBound) {
  HistogramDelta delta;
  delta.count = 10;
  delta.buckets = {{1, 5}, {std::numeric_limits<double>::infinity(), 10}};
  EXPECT_EQ(delta.Quantile(0.99), 1);
  EXPECT_EQ(HistogramDelta().Quantile(0.5), 0);
}

TEST(ServerMetricsTest, SaysWhatTheServerDidMeanwhile) {
  const ServerMetrics metrics = Compare(Exposition::Parse(kBefore), Exposition::Parse(kAfter));
  ASSERT_EQ(metrics.stages.size(), 1U);
  EXPECT_EQ(metrics.stages[0].name, "queue");
  EXPECT_EQ(metrics.stages[0].count, 100);
  EXPECT_DOUBLE_EQ(metrics.stages[0].mean_ms, 3);
  EXPECT_DOUBLE_EQ(metrics.stages[0].p50_ms, 1);
  EXPECT_NEAR(metrics.stages[0].p99_ms, 1 + 9 * 0.98, 1e-6);
  EXPECT_THAT(metrics.codes,
              ::testing::UnorderedElementsAre(::testing::Pair("OK", 51), ::testing::Pair("RESOURCE_EXHAUSTED", 5)));
  EXPECT_EQ(metrics.rejections.at("queue_full"), 5);
  EXPECT_EQ(metrics.batches, 20);
  EXPECT_DOUBLE_EQ(metrics.mean_batch_requests, 3);
  EXPECT_EQ(metrics.requests_in_flight, 2);
}

TEST(ServerMetricsTest, NoAddressIsNoMetrics) {
  EXPECT_EQ(MetricsScraper("").Finish().status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace flashcore
