#include "client/load/svg_chart.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace flashcore {
namespace {

// The drawing, in its own units.
constexpr double kWidth = 560;
constexpr double kLeft = 56;
constexpr double kRight = 16;
constexpr double kTop = 12;
constexpr double kBottom = 44;
constexpr double kTickGap = 8;
constexpr double kDotRadius = 3.5;
constexpr double kBarShare = 0.86;

constexpr double kTen = 10;

double Position(const Axis& axis, double value) {
  const double clamped = std::clamp(value, axis.low, axis.high);
  if (axis.high <= axis.low) return 0;
  if (!axis.log) return (clamped - axis.low) / (axis.high - axis.low);
  return std::log(clamped / axis.low) / std::log(axis.high / axis.low);
}

// Where data lies in the drawing.
class Frame {
 public:
  explicit Frame(const Chart& chart) : chart_(chart) {}
  double X(double value) const { return left() + Position(chart_.x, value) * (right() - left()); }
  double Y(double value) const { return bottom() - Position(chart_.y, value) * (bottom() - top()); }
  static double left() { return kLeft; }
  static double right() { return kWidth - kRight; }
  static double top() { return kTop; }
  double bottom() const { return chart_.height - kBottom; }

 private:
  const Chart& chart_;
};

void AppendAxes(const Chart& chart, const Frame& frame, std::string& out) {
  for (const auto& [value, label] : chart.y.ticks) {
    const double y = frame.Y(value);
    absl::StrAppendFormat(&out, R"(<line class="grid" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>)", Frame::left(),
                          Frame::right(), y, y);
    absl::StrAppendFormat(&out, R"(<text class="tick" text-anchor="end" x="%.1f" y="%.1f" dy="4">%s</text>)",
                          Frame::left() - kTickGap, y, HtmlEscape(label));
  }
  for (const auto& [value, label] : chart.x.ticks) {
    const double x = frame.X(value);
    absl::StrAppendFormat(&out, R"(<line class="grid" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>)", x, x, Frame::top(),
                          frame.bottom());
    absl::StrAppendFormat(&out, R"(<text class="tick" text-anchor="middle" x="%.1f" y="%.1f">%s</text>)", x,
                          frame.bottom() + 2 * kTickGap + 2, HtmlEscape(label));
  }
  absl::StrAppendFormat(&out, R"(<line class="axis" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>)", Frame::left(),
                        Frame::right(), frame.bottom(), frame.bottom());
  absl::StrAppendFormat(&out, R"(<text class="title" text-anchor="middle" x="%.1f" y="%.1f">%s</text>)",
                        (Frame::left() + Frame::right()) / 2, chart.height - kTickGap / 2, HtmlEscape(chart.x.title));
  const double middle = (Frame::top() + frame.bottom()) / 2;
  absl::StrAppendFormat(
      &out,
      R"html(<text class="title" text-anchor="middle" transform="translate(14 %.1f) rotate(-90)">%s)html"
      "</text>",
      middle, HtmlEscape(chart.y.title));
}

void AppendBars(const Series& series, const Frame& frame, std::string& out) {
  if (series.points.empty()) return;
  const double step =
      series.points.size() > 1 ? frame.X(series.points[1].first) - frame.X(series.points[0].first) : 2 * kTickGap;
  for (size_t i = 0; i < series.points.size(); ++i) {
    const auto& [x, y] = series.points[i];
    if (y <= 0) continue;
    absl::StrAppendFormat(&out, R"(<rect class="bar %s" x="%.1f" y="%.1f" width="%.1f" height="%.1f">)", series.color,
                          frame.X(x), frame.Y(y), std::max(1.0, step * kBarShare), frame.bottom() - frame.Y(y));
    if (i < series.hints.size()) absl::StrAppend(&out, "<title>", HtmlEscape(series.hints[i]), "</title>");
    out += "</rect>";
  }
}

void AppendLine(const Series& series, const Frame& frame, std::string& out) {
  if (series.points.empty()) return;
  std::string path;
  for (const auto& [x, y] : series.points) {
    absl::StrAppendFormat(&path, "%s%.1f %.1f", path.empty() ? "M" : "L", frame.X(x), frame.Y(y));
  }
  if (series.area) {
    absl::StrAppendFormat(&out, R"(<path class="area %s" d="%sL%.1f %.1fL%.1f %.1fZ"/>)", series.color, path,
                          frame.X(series.points.back().first), frame.bottom(), frame.X(series.points.front().first),
                          frame.bottom());
  }
  absl::StrAppendFormat(&out, R"(<path class="line %s" d="%s"/>)", series.color, path);
}

void AppendDots(const Series& series, const Frame& frame, std::string& out) {
  for (size_t i = 0; i < series.points.size(); ++i) {
    const auto& [x, y] = series.points[i];
    absl::StrAppendFormat(&out, R"(<circle class="dot %s" cx="%.1f" cy="%.1f" r="%.1f">)", series.color, frame.X(x),
                          frame.Y(y), kDotRadius);
    if (i < series.hints.size()) absl::StrAppend(&out, "<title>", HtmlEscape(series.hints[i]), "</title>");
    out += "</circle>";
  }
}

void AppendMarker(const Marker& marker, const Frame& frame, std::string& out) {
  const double x1 = marker.horizontal ? Frame::left() : frame.X(marker.value);
  const double x2 = marker.horizontal ? Frame::right() : x1;
  const double y1 = marker.horizontal ? frame.Y(marker.value) : Frame::top();
  const double y2 = marker.horizontal ? y1 : frame.bottom();
  absl::StrAppendFormat(&out, R"(<line class="marker" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>)", x1, x2, y1, y2);
  absl::StrAppendFormat(&out, R"(<text class="marker-label" x="%.1f" y="%.1f" text-anchor="%s">%s</text>)",
                        marker.horizontal ? Frame::left() + kTickGap : x1 - kTickGap,
                        marker.horizontal ? y1 - kTickGap / 2 : Frame::top() + kTop,
                        marker.horizontal ? "start" : "end", HtmlEscape(marker.label));
}

// 1, 2 or 5 times a power of ten, at or above `value`.
double RoundUp(double value) {
  if (value <= 0) return 1;
  const double base = std::pow(kTen, std::floor(std::log10(value)));
  for (const double step : {1.0, 2.0, 5.0}) {
    if (step * base >= value * (1 - 1e-9)) return step * base;
  }
  return kTen * base;
}

}  // namespace

std::string HtmlEscape(const std::string& text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {R"(")", "&quot;"}, {"'", "&#39;"}});
}

std::string TickLabel(double value) {
  constexpr double kThousand = 1000;
  if (value < kThousand) return absl::StrFormat("%.4g", value);
  if (value < kThousand * kThousand) return absl::StrFormat("%.4gk", value / kThousand);
  return absl::StrFormat("%.4gM", value / kThousand / kThousand);
}

Axis LinearAxis(std::string title, double high, int ticks) {
  const double step = RoundUp(std::max(high, 1e-9) / ticks);
  Axis axis{
      .title = std::move(title), .low = 0, .high = step * std::ceil(high / step - 1e-9), .log = false, .ticks = {}};
  if (axis.high <= 0) axis.high = step;
  for (int i = 0; step * i <= axis.high * (1 + 1e-9); ++i) axis.ticks.emplace_back(step * i, TickLabel(step * i));
  return axis;
}

Axis LogAxis(std::string title, double low, double high) {
  constexpr double kFewDecades = 2.5;
  const double least = std::max(low, 1e-9);
  const double most = std::max(high, least * 2);
  const bool few = std::log10(most / least) < kFewDecades;
  Axis axis{.title = std::move(title), .low = least, .high = most, .log = true, .ticks = {}};
  const auto exponent = static_cast<int>(std::floor(std::log10(least)));
  // To the nearest of 1, 2 and 5 outside of the data.
  std::vector<double> candidates;
  for (int e = exponent; std::pow(kTen, e) <= most * kTen; ++e) {
    for (const double step : {1.0, 2.0, 5.0}) candidates.push_back(step * std::pow(kTen, e));
  }
  for (const double value : candidates) {
    if (value <= least * (1 + 1e-9)) axis.low = value;
  }
  axis.high =
      *std::find_if(candidates.begin(), candidates.end(), [most](double value) { return value >= most * (1 - 1e-9); });
  for (const double value : candidates) {
    const double digit = value / std::pow(kTen, std::floor(std::log10(value) + 1e-9));
    const bool power = std::abs(digit - 1) < 1e-6;
    if (value < axis.low * (1 - 1e-9) || value > axis.high * (1 + 1e-9) || (!few && !power)) continue;
    axis.ticks.emplace_back(value, TickLabel(value));
  }
  return axis;
}

std::string ToSvg(const Chart& chart) {
  const Frame frame(chart);
  std::string out;
  if (chart.series.size() > 1) {
    out += R"(<div class="legend">)";
    for (const Series& series : chart.series) {
      absl::StrAppend(&out, R"(<span><i class="key )", series.color, R"("></i>)", HtmlEscape(series.name), "</span>");
    }
    out += "</div>";
  }
  absl::StrAppendFormat(&out, R"(<svg viewBox="0 0 %.0f %.0f" role="img" aria-label="%s">)", kWidth, chart.height,
                        HtmlEscape(chart.label));
  AppendAxes(chart, frame, out);
  for (const Series& series : chart.series) {
    if (series.kind == SeriesKind::kBars) AppendBars(series, frame, out);
  }
  // The first series is the one that matters most: on top.
  for (size_t i = chart.series.size(); i-- > 0;) {
    const Series& series = chart.series[i];
    if (series.kind != SeriesKind::kBars) AppendLine(series, frame, out);
    if (series.kind == SeriesKind::kDots) AppendDots(series, frame, out);
  }
  for (const Marker& marker : chart.markers) AppendMarker(marker, frame, out);
  return out + "</svg>";
}

}  // namespace flashcore
