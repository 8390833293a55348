#include "client/load/experiment.h"

#include <algorithm>
#include <optional>

namespace flashcore {
namespace {

// A rate is not held because nothing fails, but because hardly anything does.
constexpr double kLeastErrorsAllowed = 0.001;
constexpr double kTail = 0.99;

void Search(const LoadOptions& options, const MeasurePoint& measure, LoadReport& report) {
  RateSearch search(options.search);
  for (std::optional<double> rate = search.Next(); rate.has_value(); rate = search.Next()) {
    RunOptions run = options.runs.front();
    run.rate = *rate;
    report.points.push_back(measure(run));
    if (report.points.back().result.stopped) break;
    search.Report(JudgeTrial(options, report.points.back()));
  }
  report.search = search.Result();
  for (size_t i = 0; i < report.points.size(); ++i) {
    if (report.search->rate == report.points[i].run.rate) report.main = i;
  }
}

}  // namespace

Trial JudgeTrial(const LoadOptions& options, const PointReport& point) {
  const CallStats& stats = point.result.stats;
  const double allowed = std::max(options.max_errors, kLeastErrorsAllowed) * static_cast<double>(stats.ended());
  const bool answered = stats.answered() > 0 && static_cast<double>(stats.failed()) <= allowed;
  const bool in_time = absl::Nanoseconds(stats.latency.Quantile(kTail)) <= options.search_p99;
  // A client at its limit makes latency from the intended start longer, never shorter: what held in spite of it, held.
  if (answered && in_time && point.result.unsent == 0 && !point.result.gave_up) return Trial::kHeld;
  return point.validity.valid() ? Trial::kFailed : Trial::kClientLimit;
}

void RunExperiment(const LoadOptions& options, const MeasurePoint& measure, LoadReport& report) {
  if (options.search_p99 > absl::ZeroDuration()) {
    Search(options, measure, report);
    return;
  }
  for (const RunOptions& run : options.runs) {
    report.points.push_back(measure(run));
    if (report.points.back().result.stopped) break;
  }
  report.main = report.points.size() - 1;
}

}  // namespace flashcore
