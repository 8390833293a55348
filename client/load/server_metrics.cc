#include "client/load/server_metrics.h"

#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/load/http_get.h"

namespace flashcore {
namespace {

constexpr absl::Duration kScrapeTimeout = absl::Seconds(5);
constexpr double kMsPerSecond = 1e3;
constexpr double kMedian = 0.5;
constexpr double kTail = 0.99;

StageTime ToStageTime(std::string name, const HistogramDelta& delta) {
  return {.name = std::move(name),
          .count = std::llround(delta.count),
          .mean_ms = delta.mean() * kMsPerSecond,
          .p50_ms = delta.Quantile(kMedian) * kMsPerSecond,
          .p99_ms = delta.Quantile(kTail) * kMsPerSecond};
}

// The value of one label in a series' name.
std::string LabelOf(absl::string_view series, absl::string_view label) {
  const std::string mark = absl::StrCat(label, "=\"");
  const size_t begin = series.find(mark);
  if (begin == absl::string_view::npos) return "";
  const absl::string_view rest = series.substr(begin + mark.size());
  return std::string(rest.substr(0, rest.find('"')));
}

// The growth of a family's counters, summed by one label.
std::map<std::string, int64_t> GrowthByLabel(const Exposition& before, const Exposition& after,
                                             absl::string_view family, absl::string_view label) {
  std::map<std::string, int64_t> growth;
  for (const auto& [series, value] : after.values()) {
    if (!absl::StartsWith(series, absl::StrCat(family, "{"))) continue;
    const int64_t grown = std::llround(value - before.Value(series));
    if (grown != 0) growth[LabelOf(series, label)] += grown;
  }
  return growth;
}

// Both methods' requests in one.
HistogramDelta RequestDelta(const Exposition& before, const Exposition& after) {
  constexpr absl::string_view kName = "flashcore_request_duration_seconds";
  HistogramDelta sum = Delta(before, after, kName, "method=\"Attend\"");
  const HistogramDelta stream = Delta(before, after, kName, "method=\"AttendStream\"");
  if (sum.buckets.size() != stream.buckets.size()) return sum.count > 0 ? sum : stream;
  sum.count += stream.count;
  sum.sum += stream.sum;
  for (size_t i = 0; i < sum.buckets.size(); ++i) sum.buckets[i].second += stream.buckets[i].second;
  return sum;
}

absl::StatusOr<Exposition> Scrape(const std::string& address) {
  if (address.empty()) return absl::NotFoundError("not asked for (--metrics)");
  const absl::StatusOr<std::string> text = HttpGet(address, "/metrics", kScrapeTimeout);
  if (!text.ok()) return absl::Status(text.status().code(), absl::StrCat(address, ": ", text.status().message()));
  return Exposition::Parse(*text);
}

}  // namespace

const std::vector<std::string>& StageNames() {
  static const auto* const kNames =
      new std::vector<std::string>{"receive", "admit", "stage", "queue", "upload", "compute", "download", "send"};
  return *kNames;
}

ServerMetrics Compare(const Exposition& before, const Exposition& after) {
  ServerMetrics metrics;
  for (const std::string& stage : StageNames()) {
    const HistogramDelta delta =
        Delta(before, after, "flashcore_stage_duration_seconds", absl::StrCat("stage=\"", stage, "\""));
    if (delta.count > 0) metrics.stages.push_back(ToStageTime(stage, delta));
  }
  metrics.request = ToStageTime("request", RequestDelta(before, after));
  metrics.codes = GrowthByLabel(before, after, "flashcore_requests_total", "code");
  metrics.rejections = GrowthByLabel(before, after, "flashcore_rejections_total", "reason");
  metrics.batches = std::llround(after.Value("flashcore_batches_total") - before.Value("flashcore_batches_total"));
  metrics.mean_batch_requests = Delta(before, after, "flashcore_batch_requests", "").mean();
  metrics.requests_in_flight = after.Value("flashcore_requests_in_flight");
  metrics.in_flight_bytes = after.Value("flashcore_in_flight_bytes");
  return metrics;
}

MetricsScraper::MetricsScraper(const std::string& address) : address_(address), before_(Scrape(address)) {}

absl::StatusOr<ServerMetrics> MetricsScraper::Finish() const {
  if (!before_.ok()) return before_.status();
  const absl::StatusOr<Exposition> after = Scrape(address_);
  if (!after.ok()) return after.status();
  return Compare(*before_, *after);
}

}  // namespace flashcore
