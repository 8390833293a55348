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
