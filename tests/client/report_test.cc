#include "client/load/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "client/load/html_charts.h"
#include "client/load/html_report.h"
#include "client/load/report_json.h"
#include "client/load/report_text.h"
#include "client/load/svg_chart.h"

namespace flashcore {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kMs = 1'000'000;

// 1000 calls, sent a millisecond late and answered after 5 ms more; the last 10 failed.
PointReport MakePoint(double rate) {
  PointReport point;
  point.run.rate = rate;
  for (int i = 0; i < 1000; ++i) {
    CallOutcome outcome;
    outcome.timing = {.queue_ns = 2 * kMs, .compute_ns = kMs, .total_ns = 4 * kMs, .batch_size = 3, .kernel = "test/k"};
    if (i >= 990) outcome.status = absl::ResourceExhaustedError("<full> & 'closed'");
    point.result.stats.Record({.intended_ns = i * kMs, .sent_ns = (i + 1) * kMs, .ended_ns = (i + 6) * kMs}, 0, {},
                              outcome);
  }
  point.result.elapsed = absl::Seconds(1);
  point.result.client = {.wall_s = 1, .cpu_s = 0.5, .cores = 2};
  return point;
}

LoadReport MakeReport(int points) {
  LoadReport report;
  report.options.server.target = "localhost:1";
  report.options.mix_spec = "mission";
  report.server.device = "<device>";
  for (int i = 0; i < points; ++i) report.points.push_back(MakePoint(500.0 * (i + 1)));
  report.main = report.points.size() - 1;
  return report;
}

TEST(ReportTest, GoodnessCountsErrorsUnlessTheyAreAllowed) {
  LoadReport report = MakeReport(1);
  EXPECT_FALSE(IsGood(report));
  report.options.max_errors = 0.01;
  EXPECT_TRUE(IsGood(report));
  report.points[0].verified.wrong = 1;
  EXPECT_FALSE(IsGood(report));
}

TEST(ReportTest, OneInvalidPointInvalidatesASweep) {
  LoadReport report = MakeReport(2);
  EXPECT_TRUE(IsValid(report));
  report.points[0].validity.reasons = {"late"};
  EXPECT_FALSE(IsValid(report));
}

TEST(ReportTest, TheTextSaysBothLatenciesAndTheVerdict) {
  LoadReport report = MakeReport(1);
  report.points[0].validity.reasons = {"late sends: too many"};
  EXPECT_THAT(FormatReport(report), AllOf(HasSubstr("INVALID: the client was the limit"), HasSubstr("late sends: too"),
                                          HasSubstr("from intended"), HasSubstr("from send"), HasSubstr("p99.99"),
                                          HasSubstr("RESOURCE_EXHAUSTED x 10")));
  EXPECT_THAT(FormatReport(MakeReport(1)), Not(HasSubstr("INVALID")));
}

TEST(ReportTest, JsonKeepsTheNamesThatScriptsRead) {
  const nlohmann::json json = ToJson(MakeReport(1));
  EXPECT_EQ(json["answered"], 990);
  EXPECT_EQ(json["failed"], 10);
  EXPECT_EQ(json["good"], false);
  EXPECT_EQ(json["valid"], true);
  EXPECT_NEAR(json["latency_ms"]["p99"].get<double>(), 6, 0.01);
  EXPECT_NEAR(json["send_latency_ms"]["p99.99"].get<double>(), 5, 0.01);
  EXPECT_EQ(json["errors"]["RESOURCE_EXHAUSTED"]["count"], 10);
  EXPECT_EQ(json["server_stage_mean_ms"]["queue"], 2);
  EXPECT_EQ(json["mean_batch_size"], 3);
  EXPECT_TRUE(json["server_metrics"].contains("problem"));
  EXPECT_FALSE(json.contains("points"));
  EXPECT_EQ(ToJson(MakeReport(3))["points"].size(), 3U);
}

TEST(ReportTest, JsonSaysHowTheLoadWasMade) {
  LoadReport report = MakeReport(2);
  PointReport& open = report.points[1];
  open.run.senders = 3;
  open.run.phases.requests = 1;
  nlohmann::json options = ToJson(report)["options"];
  EXPECT_EQ(options["loop"], "open");
  EXPECT_EQ(options["rate"], 1000);
  EXPECT_EQ(options["senders"], 3);
  EXPECT_EQ(options["max_in_flight"], open.run.max_in_flight);
  EXPECT_EQ(options["requests"], 1);
  EXPECT_FALSE(options.contains("duration_s"));
  EXPECT_EQ(ToJson(report)["points"].size(), 2U);
  open.run = {.concurrency = 7, .phases = {.duration = absl::Seconds(2)}};
  options = ToJson(report)["options"];
  EXPECT_EQ(options["loop"], "closed");
  EXPECT_EQ(options["concurrency"], 7);
  EXPECT_EQ(options["duration_s"], 2);
}

TEST(ReportTest, JsonNamesKindsOfErrors) {
  const nlohmann::json kinds = ToJson(MakeReport(1))["error_kinds"];
  ASSERT_EQ(kinds.size(), 1U);
  EXPECT_EQ(kinds[0]["code"], "RESOURCE_EXHAUSTED");
  EXPECT_EQ(kinds[0]["count"], 10);
  EXPECT_EQ(kinds[0]["with_retry_hint"], 0);
  EXPECT_NEAR(kinds[0]["first_after_s"].get<double>(), 0.99, 1e-9);
}

TEST(ReportTest, JsonKeepsTheServersMetrics) {
  LoadReport report = MakeReport(1);
  ServerMetrics metrics;
  metrics.stages = {{.name = "queue", .count = 4, .mean_ms = 1, .p50_ms = 2, .p99_ms = 3}};
  metrics.batches = 2;
  report.points[0].metrics = metrics;
  const nlohmann::json json = ToJson(report)["server_metrics"];
  EXPECT_FALSE(json.contains("problem"));
  EXPECT_EQ(json["stages"]["queue"]["p50_ms"], 2);
  EXPECT_EQ(json["batches"], 2);
}

TEST(ReportTest, StageMeansAreThoseOfTheAnswers) {
  CallStats stats;
  CallOutcome outcome;
  outcome.timing = {.receive_ns = kMs,
                    .admit_ns = 2 * kMs,
                    .stage_ns = 3 * kMs,
                    .queue_ns = 4 * kMs,
                    .upload_ns = 5 * kMs,
                    .compute_ns = 6 * kMs,
                    .download_ns = 7 * kMs,
                    .kernel = ""};
  for (int i = 0; i < 2; ++i) stats.Record({}, 0, {}, outcome);
  const std::vector<StageMean> means = StageMeans(stats);
  ASSERT_EQ(means.size(), 7U);
  for (size_t i = 0; i < means.size(); ++i) {
    EXPECT_EQ(means[i].name, StageNames()[i]);
    EXPECT_EQ(means[i].ms, static_cast<double>(i + 1));
  }
}

TEST(ReportTest, ASweepsVariableIsTheRateOrTheConcurrency) {
  EXPECT_EQ(VariableName({.rate = 50}), "rate");
  EXPECT_EQ(VariableValue({.rate = 50}), 50);
  EXPECT_EQ(VariableName({.concurrency = 8}), "concurrency");
  EXPECT_EQ(VariableValue({.concurrency = 8}), 8);
}

TEST(ReportTest, ASearchThatFoundNothingDidNotDoWell) {
  LoadReport report = MakeReport(1);
  report.options.max_errors = 1;
  report.search.emplace();
  EXPECT_FALSE(IsGood(report));
  report.search->rate = 500;
  EXPECT_TRUE(IsGood(report));
}

TEST(ReportTest, CsvHasAsManyValuesAsNames) {
  const std::vector<std::string> lines = absl::StrSplit(ToCsv(MakeReport(2)), '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 3U);
  for (const std::string& line : lines) {
    EXPECT_EQ(std::count(line.begin(), line.end(), ','), std::count(lines[0].begin(), lines[0].end(), ',')) << line;
  }
}

TEST(ReportTest, HtmlNeedsNoOtherFileAndTrustsNoText) {
  const std::string html = ToHtml(MakeReport(3));
  EXPECT_THAT(html, AllOf(HasSubstr("<svg"), HasSubstr("prefers-color-scheme"), HasSubstr("&lt;device&gt;"),
                          HasSubstr("&lt;full&gt; &amp; &#39;closed&#39;"), HasSubstr("Points")));
  EXPECT_THAT(html, AllOf(Not(HasSubstr("<device>")), Not(HasSubstr("http")), Not(HasSubstr("<script")),
                          Not(HasSubstr("nan")), Not(HasSubstr("inf\""))));
  // The verdict comes before any number.
  EXPECT_LT(html.find("class=\"verdict"), html.find("class=\"tile"));
}

TEST(ReportTest, HtmlOfARunWithoutAnswers) {
  LoadReport report = MakeReport(1);
  report.points[0] = PointReport();
  EXPECT_THAT(ToHtml(report), AllOf(HasSubstr("did not do well"), Not(HasSubstr("<svg")), Not(HasSubstr("nan"))));
}

TEST(ReportTest, HtmlOfAClosedLoopThatWentWell) {
  LoadReport report = MakeReport(1);
  report.options.max_errors = 1;
  report.points[0].run.rate = 0;
  EXPECT_THAT(ToHtml(report), AllOf(HasSubstr("Valid: the client was not the limit"), HasSubstr("closed loop"),
                                    Not(HasSubstr("from the intended start"))));
}

TEST(SvgChartTest, AxesEndAtRoundNumbers) {
  const Axis linear = LinearAxis("x", 970, 5);
  EXPECT_EQ(linear.high, 1000);
  EXPECT_EQ(linear.ticks.front().first, 0);
  EXPECT_EQ(linear.ticks.back().second, "1k");
  const Axis log = LogAxis("x", 0.3, 70);
  EXPECT_DOUBLE_EQ(log.low, 0.2);
  EXPECT_DOUBLE_EQ(log.high, 100);
  EXPECT_GE(LinearAxis("x", 0, 5).high, 0);
}

TEST(SvgChartTest, ShortNumbers) {
  EXPECT_EQ(ShortNumber(0), "0");
  EXPECT_EQ(ShortNumber(0.01234), "0.0123");
  EXPECT_EQ(ShortNumber(12.34), "12.3");
  EXPECT_EQ(ShortNumber(123.4), "123");
  EXPECT_EQ(ShortNumber(12345.6), "12,346");
  EXPECT_EQ(ShortTime(0.0123), "12.3 µs");
}

}  // namespace
}  // namespace flashcore
