// The plots of the HTML report.
#ifndef FLASHCORE_CLIENT_LOAD_HTML_CHARTS_H_
#define FLASHCORE_CLIENT_LOAD_HTML_CHARTS_H_

#include <string>

#include "client/load/report.h"

namespace flashcore {

// Latency against percentile, each further 9 as far from the last.
std::string PercentileChart(const PointReport& point);
// Latencies over the run.
std::string TimelineChart(const PointReport& point);
// Answers and failures per second over the run.
std::string ThroughputChart(const PointReport& point);
// Latency, and answers per second, against the rate or concurrency of each point. Needs two points.
std::string SweepLatencyChart(const LoadReport& report);
std::string SweepThroughputChart(const LoadReport& report);
// Where the mean request's time went: one bar for each stage, one after the other.
std::string StageWaterfall(const PointReport& point);

// "0.123", "12.3", "1,234": four digits at most, for milliseconds and rates.
std::string ShortNumber(double value);
// "12.3 µs" or "4.56 ms".
std::string ShortTime(double ms);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_HTML_CHARTS_H_
