#include "client/load/html_charts.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/load/svg_chart.h"

namespace flashcore {
namespace {

constexpr double kNsPerSecond = 1e9;
constexpr int kTicks = 5;
constexpr double kChartHeight = 240;
constexpr double kPercent = 100;

// Percentiles lie at the number of their nines: 90 at 1, 99 at 2.
Axis PercentileAxis(double nines) {
  Axis axis{.title = "percentile", .low = 0, .high = nines, .log = false, .ticks = {}};
  for (const auto& [value, label] : std::vector<Tick>{
           {0, "0"}, {std::log10(2.0), "50"}, {1, "90"}, {2, "99"}, {3, "99.9"}, {4, "99.99"}, {5, "99.999"}}) {
    if (value <= nines + 1e-9) axis.ticks.emplace_back(value, absl::StrCat(label, "%"));
  }
  return axis;
}

Series PercentileSeries(std::string name, std::string color, const Histogram& histogram, double nines) {
  Series series{.name = std::move(name),
                .color = std::move(color),
                .kind = SeriesKind::kLine,
                .points = {},
                .area = false,
                .hints = {}};
  constexpr int kSteps = 240;
  for (int i = 0; i <= kSteps; ++i) {
    const double at = nines * i / kSteps;
    series.points.emplace_back(at, QuantileMs(histogram, 1 - std::pow(10.0, -at)));
  }
  return series;
}

// The nines that a histogram has values for: 10,000 values know of 99.99.
double NinesOf(int64_t count) {
  constexpr double kLeast = 2;
  constexpr double kMost = 5;
  return std::clamp(std::floor(std::log10(std::max<double>(1, static_cast<double>(count))) + 1e-9), kLeast, kMost);
}

std::pair<double, double> RangeOf(const std::vector<Series>& series) {
  double low = 1e300;
  double high = 0;
  for (const Series& one : series) {
    for (const auto& [x, y] : one.points) {
      if (y > 0) low = std::min(low, y);
      high = std::max(high, y);
    }
  }
  return {std::min(low, std::max(high, 1e-3)), std::max(high, 1e-3)};
}

// Ends where the run did, not at a round number.
Axis TimeAxis(double end_s) {
  Axis axis = LinearAxis("seconds since the measurement began", end_s, kTicks + 2);
  axis.high = end_s;
  while (axis.ticks.size() > 1 && axis.ticks.back().first > end_s) axis.ticks.pop_back();
  return axis;
}

Axis LatencyAxis(const std::vector<Series>& series) {
  const auto [low, high] = RangeOf(series);
  return LogAxis("milliseconds", low, high);
}

std::vector<const PointReport*> ByVariable(const LoadReport& report) {
  std::vector<const PointReport*> points;
  for (const PointReport& point : report.points) points.push_back(&point);
  std::stable_sort(points.begin(), points.end(), [](const PointReport* a, const PointReport* b) {
    return VariableValue(a->run) < VariableValue(b->run);
  });
  return points;
}

// The x of every point of a sweep, on an axis that suits how they were chosen: by steps or by factors.
Axis SweepAxis(const std::vector<const PointReport*>& points) {
  constexpr double kWideRange = 20;
  const double low = VariableValue(points.front()->run);
  const double high = VariableValue(points.back()->run);
  const std::string title = points.front()->run.open_loop() ? "requests per second asked for" : "concurrency";
  return high / low >= kWideRange ? LogAxis(title, low, high) : LinearAxis(title, high, kTicks + 2);
}

Series SweepSeries(const std::vector<const PointReport*>& points, std::string name, std::string color,
                   double (*value)(const PointReport&)) {
  Series series{.name = std::move(name),
                .color = std::move(color),
                .kind = SeriesKind::kDots,
                .points = {},
                .area = false,
                .hints = {}};
  for (const PointReport* point : points) {
    const double y = value(*point);
    series.points.emplace_back(VariableValue(point->run), y);
    series.hints.push_back(absl::StrCat(VariableName(point->run), " ", ShortNumber(VariableValue(point->run)), ": ",
                                        series.name, " ", ShortNumber(y)));
  }
  return series;
}

struct Bar {
  std::string name;
  std::string kind;  // A CSS class of the bar.
  double ms = 0;
  std::string detail;
};

// The server's stages, then what the client waited for beyond them.
std::vector<Bar> WaterfallBars(const PointReport& point) {
  std::vector<Bar> bars;
  const CallStats& stats = point.result.stats;
  if (point.run.open_loop() && stats.latency.mean() > stats.send_latency.mean()) {
    bars.push_back({.name = "before the send",
                    .kind = "wait",
                    .ms = (stats.latency.mean() - stats.send_latency.mean()) / kNsPerMs,
                    .detail = ""});
  }
  double server_ms = 0;
  if (point.metrics.ok() && !point.metrics->stages.empty()) {
    for (const StageTime& stage : point.metrics->stages) {
      server_ms += stage.mean_ms;
      bars.push_back({.name = stage.name,
                      .kind = stage.name == "queue" ? "wait" : "",
                      .ms = stage.mean_ms,
                      .detail = absl::StrCat("p99 ", ShortTime(stage.p99_ms))});
    }
  } else {
    for (const StageMean& stage : StageMeans(stats)) {
      if (stage.ms <= 0) continue;
      server_ms += stage.ms;
      bars.push_back({.name = stage.name, .kind = stage.name == "queue" ? "wait" : "", .ms = stage.ms, .detail = ""});
    }
  }
  const double rest_ms = stats.send_latency.mean() / kNsPerMs - server_ms;
  if (rest_ms > 0) bars.push_back({.name = "network, gRPC", .kind = "net", .ms = rest_ms, .detail = "the rest"});
  return bars;
}

}  // namespace

std::string ShortNumber(double value) {
  constexpr double kThousand = 1000;
  constexpr double kHundred = 100;
  constexpr double kTen = 10;
  if (value >= kThousand) return Grouped(std::llround(value));
  if (value >= kHundred) return absl::StrFormat("%.0f", value);
  if (value >= kTen) return absl::StrFormat("%.1f", value);
  return absl::StrFormat("%.3g", value);
}

std::string ShortTime(double ms) {
  constexpr double kUsPerMs = 1000;
  constexpr double kLeastMs = 0.1;
  return ms < kLeastMs ? absl::StrCat(ShortNumber(ms * kUsPerMs), " µs") : absl::StrCat(ShortNumber(ms), " ms");
}

std::string PercentileChart(const PointReport& point) {
  const CallStats& stats = point.result.stats;
  const double nines = NinesOf(stats.answered());
  Chart chart{.label = "Latency by percentile",
              .x = PercentileAxis(nines),
              .y = {},
              .series = {},
              .markers = {},
              .height = kChartHeight};
  if (point.run.open_loop()) {
    chart.series.push_back(PercentileSeries("from the intended start", "c1", stats.latency, nines));
    chart.series.push_back(PercentileSeries("from the send", "c2", stats.send_latency, nines));
  } else {
    chart.series.push_back(PercentileSeries("seen by the client", "c1", stats.latency, nines));
  }
  chart.series.push_back(PercentileSeries("at the server", "c3", stats.server_total, nines));
  chart.y = LatencyAxis(chart.series);
  return ToSvg(chart);
}

std::string TimelineChart(const PointReport& point) {
  const Timeline& timeline = point.result.stats.timeline;
  const double width_s = static_cast<double>(timeline.width_ns()) / kNsPerSecond;
  std::vector<Series> series = {
      {.name = "p50", .color = "c1", .kind = SeriesKind::kLine, .points = {}, .area = false, .hints = {}},
      {.name = "p99", .color = "c2", .kind = SeriesKind::kLine, .points = {}, .area = false, .hints = {}},
      {.name = "max", .color = "c4", .kind = SeriesKind::kLine, .points = {}, .area = false, .hints = {}}};
  double at_s = width_s / 2;
  for (const TimelineInterval& interval : timeline.intervals()) {
    if (interval.answered > 0) {
      series[0].points.emplace_back(at_s, QuantileMs(interval.latency, 0.5));
      series[1].points.emplace_back(at_s, QuantileMs(interval.latency, 0.99));
      series[2].points.emplace_back(at_s, static_cast<double>(interval.latency.max()) / kNsPerMs);
    }
    at_s += width_s;
  }
  const double end_s = width_s * static_cast<double>(timeline.intervals().size());
  const Axis y = LatencyAxis(series);
  return ToSvg({.label = "Latency over time",
                .x = TimeAxis(end_s),
                .y = y,
                .series = std::move(series),
                .markers = {},
                .height = kChartHeight});
}

std::string ThroughputChart(const PointReport& point) {
  const Timeline& timeline = point.result.stats.timeline;
  const double width_s = static_cast<double>(timeline.width_ns()) / kNsPerSecond;
  Series answered{.name = "answered per second",
                  .color = "c3",
                  .kind = SeriesKind::kBars,
                  .points = {},
                  .area = false,
                  .hints = {}};
  Series failed{
      .name = "failed per second", .color = "bad", .kind = SeriesKind::kBars, .points = {}, .area = false, .hints = {}};
  double at_s = 0;
  double high = 0;
  for (const TimelineInterval& interval : timeline.intervals()) {
    answered.points.emplace_back(at_s, static_cast<double>(interval.answered) / width_s);
    // Seen above the answered ones, which are drawn over it.
    failed.points.emplace_back(at_s, static_cast<double>(interval.answered + interval.failed) / width_s);
    answered.hints.push_back(absl::StrFormat("%.1f s: %s/s", at_s, ShortNumber(answered.points.back().second)));
    high = std::max({high, answered.points.back().second, failed.points.back().second});
    at_s += width_s;
  }
  Chart chart{.label = "Throughput over time",
              .x = TimeAxis(at_s),
              .y = LinearAxis("requests per second", high, kTicks),
              .series = {std::move(answered)},
              .markers = {},
              .height = kChartHeight};
  if (point.result.stats.failed() > 0) chart.series.insert(chart.series.begin(), std::move(failed));
  return ToSvg(chart);
}

std::string SweepLatencyChart(const LoadReport& report) {
  const std::vector<const PointReport*> points = ByVariable(report);
  Chart chart{.label = "Latency of each point",
              .x = SweepAxis(points),
              .y = {},
              .series = {},
              .markers = {},
              .height = kChartHeight};
  chart.series.push_back(SweepSeries(
      points, "p50", "c1", [](const PointReport& point) { return QuantileMs(point.result.stats.latency, 0.5); }));
  chart.series.push_back(SweepSeries(
      points, "p99", "c2", [](const PointReport& point) { return QuantileMs(point.result.stats.latency, 0.99); }));
  chart.series.push_back(SweepSeries(
      points, "p99.9", "c4", [](const PointReport& point) { return QuantileMs(point.result.stats.latency, 0.999); }));
  chart.y = LatencyAxis(chart.series);
  if (report.search.has_value()) {
    chart.markers.push_back({.value = absl::ToDoubleMilliseconds(report.options.search_p99),
                             .horizontal = true,
                             .label = absl::StrCat("p99 target ", absl::FormatDuration(report.options.search_p99))});
  }
  return ToSvg(chart);
}

std::string SweepThroughputChart(const LoadReport& report) {
  const std::vector<const PointReport*> points = ByVariable(report);
  std::vector<Series> series;
  series.push_back(SweepSeries(points, "answered per second", "c3", AnsweredPerSecond));
  if (report.points[0].run.open_loop()) {
    series.push_back(
        SweepSeries(points, "asked for", "c0", [](const PointReport& point) { return VariableValue(point.run); }));
    series.back().kind = SeriesKind::kLine;
  }
  const Axis y = LinearAxis("requests per second", RangeOf(series).second, kTicks);
  return ToSvg({.label = "Throughput of each point",
                .x = SweepAxis(points),
                .y = y,
                .series = std::move(series),
                .markers = {},
                .height = kChartHeight});
}

std::string StageWaterfall(const PointReport& point) {
  const std::vector<Bar> bars = WaterfallBars(point);
  double total_ms = 0;
  for (const Bar& bar : bars) total_ms += bar.ms;
  std::string out = R"(<div class="fall">)";
  double before_ms = 0;
  for (const Bar& bar : bars) {
    absl::StrAppendFormat(&out,
                          R"(<span>%s</span><div class="track"><i class="%s" style="left:%.2f%%;width:%.2f%%"></i>)"
                          R"(</div><span class="value">%s%s</span>)",
                          bar.name, bar.kind, before_ms / total_ms * kPercent, bar.ms / total_ms * kPercent,
                          ShortTime(bar.ms),
                          bar.detail.empty() ? "" : absl::StrCat(" <small>", bar.detail, "</small>"));
    before_ms += bar.ms;
  }
  return out + "</div>";
}

}  // namespace flashcore
