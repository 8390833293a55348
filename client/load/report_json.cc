#include "client/load/report_json.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace flashcore {
namespace {

using nlohmann::json;

constexpr double kNsPerSecond = 1e9;

json Finite(double value) { return std::isfinite(value) ? json(value) : json(); }

json LatenciesToJson(const Histogram& histogram) {
  json result = {{"mean", histogram.mean() / kNsPerMs},
                 {"min", static_cast<double>(histogram.min()) / kNsPerMs},
                 {"max", static_cast<double>(histogram.max()) / kNsPerMs}};
  for (const NamedQuantile& q : kQuantiles) result[q.name] = QuantileMs(histogram, q.quantile);
  return result;
}

json OptionsToJson(const LoadReport& report, const RunOptions& run) {
  const LoadOptions& options = report.options;
  json mix = json::array();
  json priorities = json::array();
  for (const MixEntry& entry : options.mix) {
    mix.push_back(entry.text);
    priorities.push_back(std::string(Name(entry.priority.value_or(Priority::kNormal))));
  }
  json result = {{"target", options.server.target},
                 {"mix", options.mix_spec},
                 {"entries", mix},
                 {"priorities", priorities},
                 {"mode", options.streaming ? "stream" : "unary"},
                 {"loop", run.open_loop() ? "open" : "closed"},
                 {"channels", options.channels},
                 {"warmup_s", absl::ToDoubleSeconds(run.phases.warmup)},
                 {"variants", options.variants},
                 {"seed", run.seed},
                 {"verify_fraction", run.verify_fraction},
                 {"cancel_fraction", run.cancel_fraction},
                 {"slow_read_s", absl::ToDoubleSeconds(options.slow_read)}};
  if (run.open_loop()) {
    result["rate"] = run.rate;
    result["arrivals"] = run.arrivals == ArrivalKind::kPoisson ? "poisson" : "constant";
    result["senders"] = run.senders;
    result["max_in_flight"] = run.max_in_flight;
  } else {
    result["concurrency"] = run.concurrency;
  }
  if (run.phases.requests > 0) {
    result["requests"] = run.phases.requests;
  } else {
    result["duration_s"] = absl::ToDoubleSeconds(run.phases.duration);
  }
  return result;
}

json VerifiedToJson(const VerifierTotals& verified) {
  return {{"checked", verified.checked},
          {"wrong", verified.wrong},
          {"first_wrong_answer", verified.first_wrong_answer},
          {"max_error", Finite(verified.max_error)},
          {"max_error_per_tolerance", Finite(verified.max_share)}};
}

// By code, for a quick look; and each kind.
void AddErrors(const CallStats& stats, json& result) {
  json by_code = json::object();
  json kinds = json::array();
  for (const ErrorKind& kind : stats.errors.Kinds()) {
    const std::string code = absl::StatusCodeToString(kind.code);
    if (!by_code.contains(code)) {
      by_code[code] = {{"count", stats.errors.total(kind.code)}, {"first_message", kind.first_message}};
    }
    kinds.push_back({{"code", code},
                     {"meaning", std::string(Meaning(kind.code))},
                     {"first_message", kind.first_message},
                     {"count", kind.count},
                     {"with_retry_hint", kind.with_retry_hint},
                     {"first_after_s", static_cast<double>(kind.first_offset_ns) / kNsPerSecond}});
  }
  result["errors"] = by_code;
  result["error_kinds"] = kinds;
}

json SendsToJson(const PointReport& point) {
  const CallStats& stats = point.result.stats;
  return {{"ended", stats.ended()},
          {"per_s", PerSecond(point, static_cast<double>(stats.ended()))},
          {"late", stats.late},
          {"held_back", stats.held_back},
          {"unsent", point.result.unsent},
          {"delay_ms", LatenciesToJson(stats.send_delay)}};
}

json ClientToJson(const ClientUse& use) {
  return {{"cores_used", use.cores_used()},
          {"cores", use.cores},
          {"busiest_thread", use.busiest_thread()},
          {"wake_delay_ms", LatenciesToJson(use.wake_delay)},
          {"memory_growth_bytes", use.memory_growth_bytes}};
}

json MetricsToJson(const absl::StatusOr<ServerMetrics>& metrics) {
  if (!metrics.ok()) return {{"problem", std::string(metrics.status().message())}};
  json stages = json::object();
  for (const StageTime& stage : metrics->stages) {
    stages[stage.name] = {
        {"count", stage.count}, {"mean_ms", stage.mean_ms}, {"p50_ms", stage.p50_ms}, {"p99_ms", stage.p99_ms}};
  }
  return {{"stages", stages},
          {"request", {{"count", metrics->request.count}, {"mean_ms", metrics->request.mean_ms}}},
          {"codes", metrics->codes},
          {"rejections", metrics->rejections},
          {"batches", metrics->batches},
          {"mean_batch_requests", metrics->mean_batch_requests},
          {"requests_in_flight_at_end", metrics->requests_in_flight},
          {"in_flight_bytes_at_end", metrics->in_flight_bytes}};
}

json TimelineToJson(const Timeline& timeline) {
  json result = json::array();
  double start_s = 0;
  for (const TimelineInterval& interval : timeline.intervals()) {
    result.push_back({{"start_s", start_s},
                      {"answered", interval.answered},
                      {"failed", interval.failed},
                      {"p50_ms", QuantileMs(interval.latency, 0.5)},
                      {"p99_ms", QuantileMs(interval.latency, 0.99)},
                      {"max_ms", static_cast<double>(interval.latency.max()) / kNsPerMs}});
    start_s += static_cast<double>(timeline.width_ns()) / kNsPerSecond;
  }
  return result;
}

json PointToJson(const LoadReport& report, const PointReport& point) {
  const CallStats& stats = point.result.stats;
  json stages = json::object();
  for (const StageMean& stage : StageMeans(stats)) stages[stage.name] = stage.ms;
  json result = {{"good", IsGood(report, point)},
                 {"valid", point.validity.valid()},
                 {"invalid_reasons", point.validity.reasons},
                 {"notes", point.validity.notes},
                 {"options", OptionsToJson(report, point.run)},
                 {"answered", stats.answered()},
                 {"failed", stats.failed()},
                 {"cancelled", stats.cancelled},
                 {"gave_up", point.result.gave_up},
                 {"stopped", point.result.stopped},
                 {"elapsed_s", absl::ToDoubleSeconds(point.result.elapsed)},
                 {"requests_per_s", AnsweredPerSecond(point)},
                 {"gflop_per_s", PerSecond(point, stats.flops) / kGiga},
                 {"out_mib_per_s", PerSecond(point, static_cast<double>(stats.bytes_sent)) / kMiB},
                 {"in_mib_per_s", PerSecond(point, static_cast<double>(stats.bytes_received)) / kMiB},
                 {"latency_ms", LatenciesToJson(stats.latency)},
                 {"send_latency_ms", LatenciesToJson(stats.send_latency)},
                 {"server_total_ms", LatenciesToJson(stats.server_total)},
                 {"server_stage_mean_ms", stages},
                 {"server_metrics", MetricsToJson(point.metrics)},
                 {"mean_batch_size", PerAnswer(point, static_cast<double>(stats.server.batch_size))},
                 {"sends", SendsToJson(point)},
                 {"timeline", TimelineToJson(stats.timeline)},
                 {"verified", VerifiedToJson(point.verified)},
                 {"client", ClientToJson(point.result.client)},
                 {"client_cpu_cores", point.result.client.cores_used()}};
  AddErrors(stats, result);
  return result;
}

json SearchToJson(const LoadReport& report) {
  const RateSearchResult& search = *report.search;
  return {{"p99_target_ms", absl::ToDoubleMilliseconds(report.options.search_p99)},
          {"rate", search.rate.has_value() ? json(*search.rate) : json()},
          {"confirmed", search.confirmed},
          {"failed_rate", search.failed_rate.has_value() ? json(*search.failed_rate) : json()},
          {"client_limit", search.client_limit}};
}

}  // namespace

json ToJson(const LoadReport& report) {
  json result = PointToJson(report, report.point());
  result["good"] = IsGood(report);
  result["valid"] = IsValid(report);
  result["server"] = {{"version", report.server.version},
                      {"backend", report.server.backend},
                      {"device", report.server.device},
                      {"kernel", report.point().result.stats.kernel}};
  if (report.search.has_value()) result["search"] = SearchToJson(report);
  if (report.points.size() < 2) return result;
  json points = json::array();
  for (const PointReport& point : report.points) points.push_back(PointToJson(report, point));
  result["points"] = points;
  return result;
}

std::string ToCsv(const LoadReport& report) {
  std::string out =
      "loop,asked,answered,failed,cancelled,unsent,late,held_back,elapsed_s,requests_per_s,gflop_per_s,mean_ms,"
      "p50_ms,p90_ms,p99_ms,p99.9_ms,p99.99_ms,max_ms,send_p50_ms,send_p99_ms,server_p50_ms,server_p99_ms,"
      "mean_batch_size,checked,wrong,client_cores,valid\n";
  for (const PointReport& point : report.points) {
    const CallStats& stats = point.result.stats;
    const auto ms = [](const Histogram& histogram, double quantile) { return QuantileMs(histogram, quantile); };
    absl::StrAppend(&out, point.run.open_loop() ? "open" : "closed", ",", VariableValue(point.run), ",",
                    stats.answered(), ",", stats.failed(), ",", stats.cancelled, ",", point.result.unsent, ",",
                    stats.late, ",", stats.held_back, ",", absl::ToDoubleSeconds(point.result.elapsed), ",");
    absl::StrAppend(&out, AnsweredPerSecond(point), ",", PerSecond(point, stats.flops) / kGiga, ",",
                    stats.latency.mean() / kNsPerMs);
    for (const NamedQuantile& q : kQuantiles) absl::StrAppend(&out, ",", ms(stats.latency, q.quantile));
    absl::StrAppend(&out, ",", static_cast<double>(stats.latency.max()) / kNsPerMs, ",", ms(stats.send_latency, 0.5),
                    ",", ms(stats.send_latency, 0.99), ",", ms(stats.server_total, 0.5), ",",
                    ms(stats.server_total, 0.99), ",");
    absl::StrAppend(&out, PerAnswer(point, static_cast<double>(stats.server.batch_size)), ",", point.verified.checked,
                    ",", point.verified.wrong, ",", point.result.client.cores_used(), ",",
                    point.validity.valid() ? "yes" : "no", "\n");
  }
  return out;
}

}  // namespace flashcore
