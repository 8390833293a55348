#include "bench/kernel/report.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace flashcore::bench {
namespace {

using nlohmann::json;

constexpr double kBytesPerMebibyte = 1024.0 * 1024.0;

std::string Name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kCorrect:
      return "correct";
    case Verdict::kWrong:
      return "WRONG";
    case Verdict::kUnsupported:
      return "unsupported";
    case Verdict::kFailed:
      break;
  }
  return "FAILED";
}

json ToJson(const std::optional<Summary>& summary) {
  if (!summary.has_value()) return nullptr;
  return {{"median_us", summary->median_us},
          {"p10_us", summary->p10_us},
          {"p90_us", summary->p90_us},
          {"timings", summary->timings}};
}

json ToJson(const Result& result) {
  return {{"shape", ToString(result.shape)},
          {"kernel", result.kernel},
          {"verdict", Name(result.verdict)},
          {"reason", result.reason},
          {"flops", AttentionFlops(result.shape)},
          {"max_error", result.max_error},
          {"tolerance", result.tolerance},
          {"graph_rotated", ToJson(result.graph_rotated)},
          {"graph_resident", ToJson(result.graph_resident)},
          {"events_rotated", ToJson(result.events_rotated)},
          {"tflops", result.tflops},
          {"sm_clock_mhz", result.sm_clock_mhz}};
}

json ToJson(const Device& device, const DeviceState& state) {
  return {{"name", device.name},
          {"compute_capability", device.compute_capability},
          {"sm_count", device.sm_count},
          {"l2_bytes", device.l2_bytes},
          {"driver", state.driver},
          {"cuda_driver", device.cuda_driver},
          {"cuda_runtime", device.cuda_runtime},
          {"sm_clock_mhz", state.sm_clock_mhz},
          {"max_sm_clock_mhz", state.max_sm_clock_mhz},
          {"memory_clock_mhz", state.memory_clock_mhz},
          {"power_limit_watts", state.power_limit_watts},
          {"temperature_celsius", state.temperature_celsius}};
}

}  // namespace

std::string Format(const std::optional<Summary>& summary) {
  if (!summary.has_value()) return "-";
  return absl::StrFormat("%.2f (%.2f-%.2f)", summary->median_us, summary->p10_us, summary->p90_us);
}

std::string Table(const RunRecord& record, absl::Span<const Result> results) {
  std::string table = absl::StrFormat(
      "%s, %d of %d SMs, L2 %.0f MiB, driver %s, SM clock %u of %u MHz; %s %s (%s)\n"
      "us per call: median (p10-p90). rotated: inputs come from DRAM; resident: the same inputs each time.\n\n",
      record.device.name, record.sms_used, record.device.sm_count,
      static_cast<double>(record.device.l2_bytes) / kBytesPerMebibyte, record.state.driver, record.state.sm_clock_mhz,
      record.state.max_sm_clock_mhz, record.program, record.version, record.commit);
  absl::StrAppendFormat(&table, "%-36s %-12s %-26s %-26s %-26s %8s  %s\n", "shape", "kernel", "graph, rotated",
                        "graph, resident", "events, rotated", "TFLOP/s", "check");
  for (const Result& result : results) {
    const std::string check = result.verdict == Verdict::kCorrect
                                  ? absl::StrFormat("max error %.1e of %.1e", result.max_error, result.tolerance)
                                  : absl::StrCat(Name(result.verdict), ": ", result.reason);
    absl::StrAppendFormat(&table, "%-36s %-12s %-26s %-26s %-26s %8.1f  %s\n", ToString(result.shape), result.kernel,
                          Format(result.graph_rotated), Format(result.graph_resident), Format(result.events_rotated),
                          result.tflops, check);
  }
  return table;
}

std::string Json(const RunRecord& record, absl::Span<const Result> results) {
  json rows = json::array();
  for (const Result& result : results) rows.push_back(ToJson(result));
  const json document = {{"program", record.program},
                         {"version", record.version},
                         {"commit", record.commit},
                         {"date", record.date},
                         {"device", ToJson(record.device, record.state)},
                         {"sms_used", record.sms_used},
                         {"seed", record.options.seed},
                         {"results", rows}};
  constexpr int kIndent = 2;
  return document.dump(kIndent) + "\n";
}

}  // namespace flashcore::bench
