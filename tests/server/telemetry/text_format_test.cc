#include "server/telemetry/text_format.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "prometheus/client_metric.h"
#include "prometheus/metric_family.h"
#include "prometheus/metric_type.h"
#include "prometheus/text_serializer.h"
#include "tests/server/telemetry/exposition.h"

namespace flashcore {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily Gauges(const std::vector<double>& values) {
  MetricFamily family = {"a_gauge", "Help.", MetricType::Gauge, {}};
  for (const double value : values) {
    ClientMetric metric;
    metric.label = {{"number", absl::StrCat(family.metric.size())}};
    metric.gauge.value = value;
    family.metric.push_back(metric);
  }
  return family;
}

MetricFamily AHistogram(const std::vector<double>& bounds) {
  ClientMetric metric;
  metric.label = {{"stage", "compute"}};
  for (const double bound : bounds) {
    metric.histogram.bucket.push_back({metric.histogram.bucket.size() + 1, bound});
  }
  metric.histogram.sample_count = bounds.size() + 1;
  metric.histogram.sample_sum = 0.3;
  return {"a_histogram", "Help.", MetricType::Histogram, {metric}};
}

TEST(ToTextFormatTest, WritesEachKindAsPrometheusReadsIt) {
  MetricFamily counter = {"a_total", "First line.\nA \\ and more.", MetricType::Counter, {}};
  counter.metric.emplace_back().counter.value = 3;
  EXPECT_EQ(ToTextFormat({counter, Gauges({0.25}), AHistogram({7.5e-05, 0.001})}),
            "# HELP a_total First line.\\nA \\\\ and more.\n"
            "# TYPE a_total counter\n"
            "a_total 3\n"
            "# HELP a_gauge Help.\n"
            "# TYPE a_gauge gauge\n"
            "a_gauge{number=\"0\"} 0.25\n"
            "# HELP a_histogram Help.\n"
            "# TYPE a_histogram histogram\n"
            "a_histogram_bucket{stage=\"compute\",le=\"7.5e-05\"} 1\n"
            "a_histogram_bucket{stage=\"compute\",le=\"0.001\"} 2\n"
            "a_histogram_bucket{stage=\"compute\",le=\"+Inf\"} 3\n"
            "a_histogram_sum{stage=\"compute\"} 0.3\n"
            "a_histogram_count{stage=\"compute\"} 3\n");
}

TEST(ToTextFormatTest, EscapesLabels) {
  MetricFamily family = {"a_info", "Help.", MetricType::Gauge, {}};
  ClientMetric& metric = family.metric.emplace_back();
  metric.label = {{"name", "a \"b\" \\ c\nd"}, {"empty", ""}};
  EXPECT_THAT(ToTextFormat({family}), testing::HasSubstr(R"(a_info{name="a \"b\" \\ c\nd",empty=""} 0)"));
}

TEST(ToTextFormatTest, EveryNumberReadsBackTheSame) {
  const std::vector<double> values = {0.0,
                                      0.1,
                                      7.5e-05,
                                      1.0 / 3,
                                      1e-4,
                                      100'000,
                                      123'456'789,
                                      1e15,
                                      1e16,
                                      1e22,
                                      -2.5,
                                      8752.738,
                                      1e-300,
                                      1e300,
                                      0.3,
                                      std::nextafter(0.3, 1),
                                      std::numeric_limits<double>::denorm_min(),
                                      std::numeric_limits<double>::max()};
  const std::string text = ToTextFormat({Gauges(values)});
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(SampleValue(text, absl::StrCat("a_gauge{number=\"", i, "\"}")), values[i]);
  }
  EXPECT_THAT(text, testing::HasSubstr("{number=\"11\"} 8752.738\n"));
  EXPECT_THAT(text, testing::HasSubstr("{number=\"7\"} 1000000000000000\n"));
}

TEST(ToTextFormatTest, NamesWhatIsNoNumber) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const std::string text = ToTextFormat({Gauges({kInfinity, -kInfinity, std::nan("")})});
  EXPECT_THAT(text, testing::HasSubstr("{number=\"0\"} +Inf\n"));
  EXPECT_THAT(text, testing::HasSubstr("{number=\"1\"} -Inf\n"));
  EXPECT_THAT(text, testing::HasSubstr("{number=\"2\"} NaN\n"));
}

// What the library writes is the same, in another order.
TEST(ToTextFormatTest, AgreesWithTheLibrary) {
  const std::vector<MetricFamily> families = {Gauges({1, 0.5, 1e6, 1e-7}), AHistogram({0.5, 1, 1024, 1048576}),
                                              AHistogram({0.5, std::numeric_limits<double>::infinity()})};
  for (const MetricFamily& family : families) {
    EXPECT_EQ(ParseExposition(ToTextFormat({family})),
              ParseExposition(prometheus::TextSerializer().Serialize({family})));
  }
}

}  // namespace
}  // namespace flashcore
