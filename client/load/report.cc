#include "client/load/report.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace flashcore {
namespace {

// Points that a search tried only to see them fail are no news.
bool Counts(const LoadReport& report, const PointReport& point) {
  return !report.search.has_value() || &point == &report.point();
}

}  // namespace

std::vector<StageMean> StageMeans(const CallStats& stats) {
  const ServerTiming& sum = stats.server;
  const std::array<int64_t, 7> stages_ns = {sum.receive_ns, sum.admit_ns,   sum.stage_ns,   sum.queue_ns,
                                            sum.upload_ns,  sum.compute_ns, sum.download_ns};
  const double answers = std::max<double>(1, static_cast<double>(stats.answered()));
  std::vector<StageMean> means;
  for (size_t i = 0; i < stages_ns.size(); ++i) {
    means.push_back({.name = StageNames()[i], .ms = static_cast<double>(stages_ns[i]) / answers / kNsPerMs});
  }
  return means;
}

double PerAnswer(const PointReport& point, double sum) {
  const int64_t answered = point.result.stats.answered();
  return answered == 0 ? 0 : sum / static_cast<double>(answered);
}

double PerSecond(const PointReport& point, double sum) {
  const double seconds = absl::ToDoubleSeconds(point.result.elapsed);
  return seconds > 0 ? sum / seconds : 0;
}

double AnsweredPerSecond(const PointReport& point) {
  return PerSecond(point, static_cast<double>(point.result.stats.answered()));
}

double QuantileMs(const Histogram& histogram, double quantile) {
  return static_cast<double>(histogram.Quantile(quantile)) / kNsPerMs;
}

bool IsGood(const LoadReport& report, const PointReport& point) {
  const CallStats& stats = point.result.stats;
  const bool verified = point.run.verify_fraction == 0 || point.verified.checked > 0;
  const auto bearable = static_cast<double>(stats.ended()) * report.options.max_errors;
  return stats.answered() > 0 && static_cast<double>(stats.failed()) <= bearable && !point.result.gave_up && verified &&
         point.verified.wrong == 0;
}

bool IsGood(const LoadReport& report) {
  if (report.search.has_value() && !report.search->rate.has_value()) return false;
  return std::all_of(report.points.begin(), report.points.end(),
                     [&report](const PointReport& point) { return !Counts(report, point) || IsGood(report, point); });
}

bool IsValid(const LoadReport& report) {
  if (report.search.has_value() && report.search->client_limit) return false;
  return std::all_of(report.points.begin(), report.points.end(),
                     [&report](const PointReport& point) { return !Counts(report, point) || point.validity.valid(); });
}

std::string DescribeLoop(const RunOptions& run) {
  if (!run.open_loop()) return absl::StrCat("closed loop, concurrency ", run.concurrency);
  return absl::StrFormat("open loop, %s/s, %s arrivals", Grouped(std::llround(run.rate)),
                         run.arrivals == ArrivalKind::kPoisson ? "Poisson" : "constant");
}

std::string VariableName(const RunOptions& run) { return run.open_loop() ? "rate" : "concurrency"; }

double VariableValue(const RunOptions& run) { return run.open_loop() ? run.rate : run.concurrency; }

std::string DescribeSearch(const LoadReport& report) {
  const RateSearchResult& search = *report.search;
  const std::string target = absl::FormatDuration(report.options.search_p99);
  if (!search.rate.has_value()) return absl::StrCat("no rate that was tried kept p99 within ", target);
  std::string text = absl::StrFormat("%.1f/s is the highest rate that kept p99 from the intended start within %s",
                                     *search.rate, target);
  if (search.failed_rate.has_value()) {
    absl::StrAppendFormat(&text, "; %.1f/s did not%s", *search.failed_rate,
                          search.client_limit ? ", because of this client" : "");
  } else {
    text += "; the search went no higher (--search_to)";
  }
  if (!search.confirmed) text += "; NOT confirmed by a second trial";
  return text;
}

std::string Grouped(int64_t value) {
  constexpr size_t kGroup = 3;
  const std::string digits = absl::StrCat(value);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % kGroup == 0) text.push_back(',');
    text.push_back(digits[i]);
  }
  return text;
}

}  // namespace flashcore
