// Plots as inline SVG: lines over an axis of time, rate or percentile. Colours are CSS variables of the page that holds
// them, so that one drawing serves light and dark.
#ifndef FLASHCORE_CLIENT_LOAD_SVG_CHART_H_
#define FLASHCORE_CLIENT_LOAD_SVG_CHART_H_

#include <string>
#include <utility>
#include <vector>

namespace flashcore {

// A tick's place in data units, and its label.
using Tick = std::pair<double, std::string>;

struct Axis {
  std::string title;  // With the unit.
  double low = 0;
  double high = 1;
  bool log = false;  // Needs low > 0.
  std::vector<Tick> ticks;
};

// An axis from 0, or from `low` if it is logarithmic, to a round number at or above `high`, with about `ticks` ticks.
Axis LinearAxis(std::string title, double high, int ticks);
// One tick for each power of ten, and at 2 and 5 between them if there are few.
Axis LogAxis(std::string title, double low, double high);

enum class SeriesKind {
  kLine,
  kDots,  // A line with a dot at each point.
  kBars,  // From the bottom; as wide as the points are apart.
};

struct Series {
  std::string name;   // In the legend.
  std::string color;  // A CSS class of the page: "c0" (grey) to "c4", or "bad".
  SeriesKind kind = SeriesKind::kLine;
  std::vector<std::pair<double, double>> points;  // In data units, by rising x.
  bool area = false;                              // Fill down to the bottom.
  std::vector<std::string> hints;                 // What hovering over a dot says, one for each point; may be empty.
};

// A horizontal or vertical line with a label, for a target.
struct Marker {
  double value = 0;
  bool horizontal = true;
  std::string label;
};

struct Chart {
  std::string label;  // For those who cannot see it.
  Axis x;
  Axis y;
  std::vector<Series> series;
  std::vector<Marker> markers;
  double height = 250;  // In the drawing's own units, of which it is 560 wide.
};

// Its legend, and an <svg> as wide as its container. Values out of an axis are drawn at its end.
std::string ToSvg(const Chart& chart);

// "0.1", "25", "1,500": short, for ticks.
std::string TickLabel(double value);

// & < > and quotes made safe for HTML text and attributes.
std::string HtmlEscape(const std::string& text);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_SVG_CHART_H_
