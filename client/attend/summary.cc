#include "client/attend/summary.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace flashcore {
namespace {

constexpr int64_t kFirstValues = 6;
constexpr double kNsPerMs = 1e6;

struct Range {
  double min = std::numeric_limits<double>::infinity();
  double mean = 0;
  double max = -std::numeric_limits<double>::infinity();
  int64_t not_finite = 0;  // Left out of the others.
};

Range RangeOf(const Tensor& tensor) {
  Range range;
  double sum = 0;
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    const double value = tensor.At(i);
    if (!std::isfinite(value)) {
      ++range.not_finite;
      continue;
    }
    range.min = std::min(range.min, value);
    range.max = std::max(range.max, value);
    sum += value;
  }
  const int64_t finite = tensor.elements() - range.not_finite;
  range.mean = finite == 0 ? std::numeric_limits<double>::quiet_NaN() : sum / static_cast<double>(finite);
  return range;
}

std::vector<std::pair<const char*, int64_t>> Stages(const ServerTiming& timing) {
  return {{"receive", timing.receive_ns},   {"admit", timing.admit_ns},   {"stage", timing.stage_ns},
          {"queue", timing.queue_ns},       {"upload", timing.upload_ns}, {"compute", timing.compute_ns},
          {"download", timing.download_ns}, {"total", timing.total_ns}};
}

void AppendTensor(const char* name, const Tensor& tensor, std::string& out) {
  const Range range = RangeOf(tensor);
  absl::StrAppendFormat(&out, "%-10s%s\n", name, ToString(tensor.spec()));
  absl::StrAppendFormat(&out, "          min %.5g, mean %.5g, max %.5g", range.min, range.mean, range.max);
  if (range.not_finite > 0) absl::StrAppendFormat(&out, ", %d not finite", range.not_finite);
  out += "\n          first";
  for (int64_t i = 0; i < std::min(kFirstValues, tensor.elements()); ++i) {
    absl::StrAppendFormat(&out, " %.5g", tensor.At(i));
  }
  out += "\n";
}

nlohmann::json NumberToJson(double value) { return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(); }

nlohmann::json SpecToJson(const TensorSpec& spec) {
  return {{"dtype", std::string(Name(spec.dtype))}, {"shape", spec.shape}, {"layout", std::string(Name(spec.layout))}};
}

nlohmann::json TensorToJson(const Tensor& tensor) {
  const Range range = RangeOf(tensor);
  nlohmann::json json = SpecToJson(tensor.spec());
  json["min"] = NumberToJson(range.min);
  json["mean"] = NumberToJson(range.mean);
  json["max"] = NumberToJson(range.max);
  json["not_finite"] = range.not_finite;
  json["first"] = nlohmann::json::array();
  for (int64_t i = 0; i < std::min(kFirstValues, tensor.elements()); ++i) {
    json["first"].push_back(NumberToJson(tensor.At(i)));
  }
  return json;
}

}  // namespace

std::string FormatSummary(const AttendSummary& summary) {
  const ServerTiming& timing = summary.answer.timing;
  std::string out = absl::StrCat("q         ", ToString(summary.inputs.q.spec()), "\nk, v      ",
                                 ToString(summary.inputs.k.spec()), "\n");
  AppendTensor("o", summary.answer.o, out);
  if (summary.answer.lse.has_value()) AppendTensor("lse", *summary.answer.lse, out);
  absl::StrAppendFormat(&out, "answered  in %.3f ms by %s, in a batch of %d\n",
                        absl::ToDoubleMilliseconds(summary.latency), timing.kernel, timing.batch_size);
  out += "server    ";
  for (const auto& [name, ns] : Stages(timing)) {
    absl::StrAppendFormat(&out, "%s %.3f, ", name, static_cast<double>(ns) / kNsPerMs);
  }
  out += "in ms\n";
  if (summary.verdict.has_value()) {
    absl::StrAppendFormat(&out, "verified  %s: max error %.2e, tolerance %.2e\n",
                          summary.verdict->right ? "right" : "WRONG", summary.verdict->max_error,
                          summary.verdict->tolerance);
    if (!summary.verdict->right) absl::StrAppend(&out, "          ", summary.verdict->problem, "\n");
  }
  return out;
}

nlohmann::json ToJson(const AttendSummary& summary) {
  const ServerTiming& timing = summary.answer.timing;
  nlohmann::json server = {{"kernel", timing.kernel}, {"batch_size", timing.batch_size}};
  for (const auto& [name, ns] : Stages(timing)) {
    server[absl::StrCat(name, "_ms")] = static_cast<double>(ns) / kNsPerMs;
  }
  nlohmann::json json = {{"q", SpecToJson(summary.inputs.q.spec())},
                         {"k", SpecToJson(summary.inputs.k.spec())},
                         {"v", SpecToJson(summary.inputs.v.spec())},
                         {"o", TensorToJson(summary.answer.o)},
                         {"latency_ms", absl::ToDoubleMilliseconds(summary.latency)},
                         {"server", server}};
  if (summary.answer.lse.has_value()) json["lse"] = TensorToJson(*summary.answer.lse);
  if (summary.verdict.has_value()) {
    json["verified"] = {{"right", summary.verdict->right},
                        {"max_error", NumberToJson(summary.verdict->max_error)},
                        {"tolerance", NumberToJson(summary.verdict->tolerance)},
                        {"problem", summary.verdict->problem}};
  }
  return json;
}

}  // namespace flashcore
