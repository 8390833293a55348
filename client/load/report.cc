#include "client/load/report.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace flashcore {
namespace {

constexpr double kNsPerMs = 1e6;
constexpr double kMiB = 1024.0 * 1024.0;
constexpr double kGiga = 1e9;
constexpr double kPercent = 100;

struct NamedQuantile {
  const char* name;
  double quantile;
};
constexpr std::array<NamedQuantile, 4> kQuantiles = {{{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}}};

using NamedStage = std::pair<const char*, int64_t>;

std::vector<NamedStage> Stages(const ServerTiming& timing) {
  return {{"receive", timing.receive_ns},  {"admit", timing.admit_ns},   {"stage", timing.stage_ns},
          {"queue", timing.queue_ns},      {"upload", timing.upload_ns}, {"compute", timing.compute_ns},
          {"download", timing.download_ns}};
}

// `sum` over the answered calls, for each of them.
double PerAnswer(const LoadReport& report, double sum) {
  const int64_t answered = report.run.stats.answered();
  return answered == 0 ? 0 : sum / static_cast<double>(answered);
}

double PerSecond(const LoadReport& report, double sum) {
  const double seconds = absl::ToDoubleSeconds(report.run.elapsed);
  return seconds > 0 ? sum / seconds : 0;
}

double ClientCores(const LoadReport& report) {
  const double seconds = absl::ToDoubleSeconds(report.wall);
  return seconds > 0 ? report.client_cpu_seconds / seconds : 0;
}

// 1234567 as 1,234,567.
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

std::string LoadLine(const LoadReport& report) {
  const RunOptions& run = report.options.run;
  const std::string how_much =
      run.requests > 0 ? absl::StrCat(Grouped(run.requests), " requests") : absl::FormatDuration(run.duration);
  return absl::StrFormat("closed loop, concurrency %d, channels %d, %s after %s of warm-up, seed %d", run.concurrency,
                         report.options.channels, how_much, absl::FormatDuration(run.warmup), run.seed);
}

void AppendLatencies(absl::string_view name, const Histogram& histogram, std::string& out) {
  absl::StrAppendFormat(&out, "    %-10s%9.3f", name, histogram.mean() / kNsPerMs);
  for (const NamedQuantile& q : kQuantiles) {
    absl::StrAppendFormat(&out, "%9.3f", static_cast<double>(histogram.Quantile(q.quantile)) / kNsPerMs);
  }
  absl::StrAppendFormat(&out, "%9.3f\n", static_cast<double>(histogram.max()) / kNsPerMs);
}

void AppendAnswers(const LoadReport& report, std::string& out) {
  const CallStats& stats = report.run.stats;
  absl::StrAppendFormat(&out, "  rate        %.1f req/s, %.1f GFLOP/s, %.1f MiB/s sent, %.1f MiB/s received\n",
                        PerSecond(report, static_cast<double>(stats.answered())),
                        PerSecond(report, stats.flops) / kGiga,
                        PerSecond(report, static_cast<double>(stats.bytes_sent)) / kMiB,
                        PerSecond(report, static_cast<double>(stats.bytes_received)) / kMiB);
  absl::StrAppendFormat(&out, "  latency, ms %10s", "mean");
  for (const NamedQuantile& q : kQuantiles) absl::StrAppendFormat(&out, "%9s", q.name);
  absl::StrAppendFormat(&out, "%9s\n", "max");
  AppendLatencies("client", stats.latency, out);
  AppendLatencies("server", stats.server_total, out);
  out += "  stages, ms ";
  for (const auto& [name, ns] : Stages(stats.server)) {
    absl::StrAppendFormat(&out, " %s %.3f", name, PerAnswer(report, static_cast<double>(ns)) / kNsPerMs);
  }
  absl::StrAppendFormat(&out, " (means)\n  batch size  mean %.2f, kernel %s\n",
                        PerAnswer(report, static_cast<double>(stats.server.batch_size)), stats.kernel);
}

void AppendVerified(const LoadReport& report, std::string& out) {
  const VerifierTotals& verified = report.verified;
  if (report.options.run.verify_fraction == 0) {
    out += "  verified    nothing (--verify=0)\n";
    return;
  }
  absl::StrAppendFormat(&out, "  verified    %s answers, %s wrong, max error %.2e (%.0f%% of its tolerance)\n",
                        Grouped(verified.checked), Grouped(verified.wrong), verified.max_error,
                        verified.max_share * kPercent);
  if (verified.wrong > 0) absl::StrAppend(&out, "  WRONG       ", verified.first_wrong_answer, "\n");
}

void AppendErrors(const LoadReport& report, std::string& out) {
  for (const auto& [code, error] : report.run.stats.errors) {
    absl::StrAppend(&out, "  ", absl::StatusCodeToString(code), " x ", Grouped(error.count), ": ", error.first_message,
                    "\n");
  }
  if (report.run.gave_up) {
    absl::StrAppend(&out, "  gave up: no request was answered for ",
                    absl::FormatDuration(report.options.run.give_up_after), " (--give_up_after)\n");
  }
  if (report.run.stopped) out += "  stopped before its end\n";
}

nlohmann::json LatenciesToJson(const Histogram& histogram) {
  nlohmann::json json = {{"mean", histogram.mean() / kNsPerMs},
                         {"min", static_cast<double>(histogram.min()) / kNsPerMs},
                         {"max", static_cast<double>(histogram.max()) / kNsPerMs}};
  for (const NamedQuantile& q : kQuantiles) {
    json[q.name] = static_cast<double>(histogram.Quantile(q.quantile)) / kNsPerMs;
  }
  return json;
}

nlohmann::json OptionsToJson(const LoadReport& report) {
  const LoadOptions& options = report.options;
  nlohmann::json mix = nlohmann::json::array();
  for (const MixEntry& entry : options.mix) mix.push_back(entry.text);
  nlohmann::json json = {{"target", options.target},
                         {"mix", options.mix_spec},
                         {"entries", mix},
                         {"concurrency", options.run.concurrency},
                         {"channels", options.channels},
                         {"warmup_s", absl::ToDoubleSeconds(options.run.warmup)},
                         {"variants", options.variants},
                         {"seed", options.run.seed},
                         {"verify_fraction", options.run.verify_fraction}};
  if (options.run.requests > 0) {
    json["requests"] = options.run.requests;
  } else {
    json["duration_s"] = absl::ToDoubleSeconds(options.run.duration);
  }
  return json;
}

nlohmann::json VerifiedToJson(const VerifierTotals& verified) {
  nlohmann::json json = {
      {"checked", verified.checked}, {"wrong", verified.wrong}, {"first_wrong_answer", verified.first_wrong_answer}};
  json["max_error"] = std::isfinite(verified.max_error) ? nlohmann::json(verified.max_error) : nlohmann::json();
  json["max_error_per_tolerance"] =
      std::isfinite(verified.max_share) ? nlohmann::json(verified.max_share) : nlohmann::json();
  return json;
}

}  // namespace

bool IsGood(const LoadReport& report) {
  const bool verified = report.options.run.verify_fraction == 0 || report.verified.checked > 0;
  return report.run.stats.answered() > 0 && report.run.stats.failed() == 0 && !report.run.gave_up && verified &&
         report.verified.wrong == 0;
}

std::string FormatTable(const LoadReport& report) {
  const CallStats& stats = report.run.stats;
  std::string out =
      absl::StrFormat("FlashCore load: %s, %s on %s (%s), version %s\n", report.options.target, report.server.backend,
                      report.server.device, report.server.kernel, report.server.version);
  absl::StrAppend(&out, "  mix         ", report.options.mix_spec, "\n  load        ", LoadLine(report), "\n\n");
  absl::StrAppendFormat(&out, "  requests    %s answered, %s failed, in %.2f s\n", Grouped(stats.answered()),
                        Grouped(stats.failed()), absl::ToDoubleSeconds(report.run.elapsed));
  if (stats.answered() > 0) AppendAnswers(report, out);
  AppendVerified(report, out);
  absl::StrAppendFormat(&out, "  client CPU  %.2f cores\n", ClientCores(report));
  AppendErrors(report, out);
  return out;
}

nlohmann::json ToJson(const LoadReport& report) {
  const CallStats& stats = report.run.stats;
  nlohmann::json errors = nlohmann::json::object();
  for (const auto& [code, error] : stats.errors) {
    errors[absl::StatusCodeToString(code)] = {{"count", error.count}, {"first_message", error.first_message}};
  }
  nlohmann::json stages = nlohmann::json::object();
  for (const auto& [name, ns] : Stages(stats.server)) {
    stages[name] = PerAnswer(report, static_cast<double>(ns)) / kNsPerMs;
  }
  return {{"good", IsGood(report)},
          {"options", OptionsToJson(report)},
          {"server",
           {{"version", report.server.version},
            {"backend", report.server.backend},
            {"device", report.server.device},
            {"kernel", stats.kernel}}},
          {"answered", stats.answered()},
          {"failed", stats.failed()},
          {"errors", errors},
          {"gave_up", report.run.gave_up},
          {"stopped", report.run.stopped},
          {"elapsed_s", absl::ToDoubleSeconds(report.run.elapsed)},
          {"requests_per_s", PerSecond(report, static_cast<double>(stats.answered()))},
          {"gflop_per_s", PerSecond(report, stats.flops) / kGiga},
          {"out_mib_per_s", PerSecond(report, static_cast<double>(stats.bytes_sent)) / kMiB},
          {"in_mib_per_s", PerSecond(report, static_cast<double>(stats.bytes_received)) / kMiB},
          {"latency_ms", LatenciesToJson(stats.latency)},
          {"server_total_ms", LatenciesToJson(stats.server_total)},
          {"server_stage_mean_ms", stages},
          {"mean_batch_size", PerAnswer(report, static_cast<double>(stats.server.batch_size))},
          {"verified", VerifiedToJson(report.verified)},
          {"client_cpu_cores", ClientCores(report)}};
}

}  // namespace flashcore
