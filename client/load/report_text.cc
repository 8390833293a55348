#include "client/load/report_text.h"

#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace flashcore {
namespace {

constexpr double kPercent = 100;

std::string LoadLine(const LoadReport& report, const RunOptions& run) {
  const RunPhases& phases = run.phases;
  const std::string how_much =
      phases.requests > 0 ? absl::StrCat(Grouped(phases.requests), " requests") : absl::FormatDuration(phases.duration);
  return absl::StrFormat("%s, %s, channels %d, %s after %s of warm-up, seed %d", DescribeLoop(run),
                         report.options.streaming ? "streams" : "unary calls", report.options.channels, how_much,
                         absl::FormatDuration(phases.warmup), run.seed);
}

void AppendVerdict(const PointReport& point, std::string& out) {
  for (const std::string& reason : point.validity.reasons) absl::StrAppend(&out, "  INVALID     ", reason, "\n");
  for (const std::string& note : point.validity.notes) absl::StrAppend(&out, "  note        ", note, "\n");
}

void AppendLatencies(absl::string_view name, const Histogram& histogram, std::string& out) {
  absl::StrAppendFormat(&out, "    %-14s%9.3f", name, histogram.mean() / kNsPerMs);
  for (const NamedQuantile& q : kQuantiles) absl::StrAppendFormat(&out, "%10.3f", QuantileMs(histogram, q.quantile));
  absl::StrAppendFormat(&out, "%10.3f\n", static_cast<double>(histogram.max()) / kNsPerMs);
}

void AppendStages(const PointReport& point, std::string& out) {
  out += "  stages, ms ";
  if (point.metrics.ok() && !point.metrics->stages.empty()) {
    for (const StageTime& stage : point.metrics->stages)
      absl::StrAppendFormat(&out, " %s %.3f", stage.name, stage.mean_ms);
    out += " (means, by /metrics)\n";
  } else {
    for (const StageMean& stage : StageMeans(point.result.stats)) {
      absl::StrAppendFormat(&out, " %s %.3f", stage.name, stage.ms);
    }
    out += " (means)\n";
  }
}

void AppendAnswers(const PointReport& point, std::string& out) {
  const CallStats& stats = point.result.stats;
  absl::StrAppendFormat(&out, "  rate        %.1f req/s, %.1f GFLOP/s, %.1f MiB/s sent, %.1f MiB/s received\n",
                        AnsweredPerSecond(point), PerSecond(point, stats.flops) / kGiga,
                        PerSecond(point, static_cast<double>(stats.bytes_sent)) / kMiB,
                        PerSecond(point, static_cast<double>(stats.bytes_received)) / kMiB);
  absl::StrAppendFormat(&out, "  latency, ms %15s", "mean");
  for (const NamedQuantile& q : kQuantiles) absl::StrAppendFormat(&out, "%10s", q.name);
  absl::StrAppendFormat(&out, "%10s\n", "max");
  if (point.run.open_loop()) {
    AppendLatencies("from intended", stats.latency, out);
    AppendLatencies("from send", stats.send_latency, out);
  } else {
    AppendLatencies("client", stats.latency, out);
  }
  AppendLatencies("server", stats.server_total, out);
  AppendStages(point, out);
  absl::StrAppendFormat(&out, "  batch size  mean %.2f, kernel %s\n",
                        PerAnswer(point, static_cast<double>(stats.server.batch_size)), stats.kernel);
}

void AppendSends(const PointReport& point, std::string& out) {
  if (!point.run.open_loop()) return;
  const CallStats& stats = point.result.stats;
  const double sent_per_s = PerSecond(point, static_cast<double>(stats.ended()));
  absl::StrAppendFormat(&out,
                        "  sends       %.1f/s of %.1f/s asked, %s late, %s held back, %s unsent; delay p99 %.3f ms\n",
                        sent_per_s, point.run.rate, Grouped(stats.late), Grouped(stats.held_back),
                        Grouped(point.result.unsent), QuantileMs(stats.send_delay, 0.99));
}

void AppendVerified(const PointReport& point, std::string& out) {
  const VerifierTotals& verified = point.verified;
  if (point.run.verify_fraction == 0) {
    out += "  verified    nothing (--verify=0)\n";
    return;
  }
  absl::StrAppendFormat(&out, "  verified    %s answers, %s wrong, max error %.2e (%.0f%% of its tolerance)\n",
                        Grouped(verified.checked), Grouped(verified.wrong), verified.max_error,
                        verified.max_share * kPercent);
  if (verified.wrong > 0) absl::StrAppend(&out, "  WRONG       ", verified.first_wrong_answer, "\n");
}

void AppendErrors(const LoadReport& report, const PointReport& point, std::string& out) {
  const CallStats& stats = point.result.stats;
  for (const ErrorKind& kind : stats.errors.Kinds()) {
    absl::StrAppendFormat(&out, "  %s x %s: %s (%s; first after %.1f s)\n", absl::StatusCodeToString(kind.code),
                          Grouped(kind.count), kind.first_message, Meaning(kind.code),
                          static_cast<double>(kind.first_offset_ns) / kGiga);
  }
  if (stats.cancelled > 0) absl::StrAppend(&out, "  cancelled   ", Grouped(stats.cancelled), " calls, on purpose\n");
  if (point.result.gave_up) {
    absl::StrAppend(&out, "  gave up: no request was answered for ",
                    absl::FormatDuration(point.run.phases.give_up_after), " (--give_up_after)\n");
  }
  if (point.result.stopped) out += "  stopped before its end\n";
  if (!point.metrics.ok() && !report.options.metrics_address.empty()) {
    absl::StrAppend(&out, "  no metrics: ", point.metrics.status().message(), "\n");
  }
}

void AppendClient(const PointReport& point, std::string& out) {
  const ClientUse& use = point.result.client;
  absl::StrAppendFormat(&out, "  client CPU  %.2f of %d cores, busiest thread %.0f%%, wake-up delay p99 %.3f ms\n",
                        use.cores_used(), use.cores, use.busiest_thread() * kPercent, QuantileMs(use.wake_delay, 0.99));
}

void AppendPoints(const LoadReport& report, std::string& out) {
  if (report.points.size() < 2) return;
  absl::StrAppendFormat(&out, "\n  %11s%12s%10s%10s%10s%10s%10s%9s  %s\n", VariableName(report.points[0].run), "req/s",
                        "p50 ms", "p99 ms", "p99.9 ms", "failed", "unsent", "CPU", "");
  for (const PointReport& point : report.points) {
    const CallStats& stats = point.result.stats;
    absl::StrAppendFormat(&out, "  %11.6g%12.1f%10.3f%10.3f%10.3f%10s%10s%9.2f  %s\n", VariableValue(point.run),
                          AnsweredPerSecond(point), QuantileMs(stats.latency, 0.5), QuantileMs(stats.latency, 0.99),
                          QuantileMs(stats.latency, 0.999), Grouped(stats.failed()), Grouped(point.result.unsent),
                          point.result.client.cores_used(), point.validity.valid() ? "" : "INVALID");
  }
}

}  // namespace

std::string FormatReport(const LoadReport& report) {
  const PointReport& point = report.point();
  const CallStats& stats = point.result.stats;
  std::string out =
      absl::StrFormat("FlashCore load: %s, %s on %s (%s), version %s\n", report.options.server.target,
                      report.server.backend, report.server.device, report.server.kernel, report.server.version);
  absl::StrAppend(&out, "  mix         ", report.options.mix_spec, "\n  load        ", LoadLine(report, point.run),
                  "\n");
  if (report.search.has_value()) absl::StrAppend(&out, "  search      ", DescribeSearch(report), "\n");
  absl::StrAppend(&out, "  verdict     ", IsValid(report) ? "valid" : "INVALID: the client was the limit", "\n");
  AppendVerdict(point, out);
  absl::StrAppendFormat(&out, "\n  requests    %s answered, %s failed, in %.2f s\n", Grouped(stats.answered()),
                        Grouped(stats.failed()), absl::ToDoubleSeconds(point.result.elapsed));
  if (stats.answered() > 0) AppendAnswers(point, out);
  AppendSends(point, out);
  AppendVerified(point, out);
  AppendClient(point, out);
  AppendErrors(report, point, out);
  AppendPoints(report, out);
  return out;
}

}  // namespace flashcore
