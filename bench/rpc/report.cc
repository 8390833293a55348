#include "bench/rpc/report.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace flashcore::bench {
namespace {

constexpr double kUsPerMs = 1e3;

std::string CpuText(const Medians& medians) {
  return medians.server_cpu_us.has_value() ? absl::StrFormat("%.0f", *medians.server_cpu_us) : "-";
}

void AppendMeasured(const CaseResult& result, std::string& out) {
  std::string name = ToString(result.c);
  for (const ServerResult& server : result.servers) {
    const Medians m = Reduce(server.samples);
    const std::string range = absl::StrFormat("%.3f-%.3f", m.least_p50_us / kUsPerMs, m.greatest_p50_us / kUsPerMs);
    absl::StrAppendFormat(&out, "%-26s %-10s %9.0f %9.3f %15s %9.3f %8s %7d\n", name, server.server, m.requests_per_s,
                          m.p50_us / kUsPerMs, range, m.p99_us / kUsPerMs, CpuText(m), m.failed);
    name.clear();
  }
}

// What the others did beside `base`, in one case.
void AppendCompared(const CaseResult& result, const ServerResult& base, std::string& out) {
  for (const ServerResult& server : result.servers) {
    if (&server == &base) continue;
    const std::string names = absl::StrCat(server.server, " / ", base.server);
    absl::StrAppendFormat(&out, "%-26s %-22s ", ToString(result.c), names);
    if (Reduce(server.samples).answered == 0 || Reduce(base.samples).answered == 0) {
      absl::StrAppend(&out, "one of them answered nothing\n");
      continue;
    }
    const Comparison c = Compare(server.samples, base.samples);
    absl::StrAppendFormat(&out, "%8.3f %14.0f\n", c.share, c.p50_diff_us);
  }
}

void AppendComparisonHeader(std::string& out) {
  absl::StrAppendFormat(&out, "\n%-26s %-22s %8s %14s\n", "case", "servers", "share", "p50 diff, us");
}

void AppendComparedWith(const std::vector<CaseResult>& results, const std::string& name, std::string& out) {
  AppendComparisonHeader(out);
  for (const CaseResult& result : results) {
    for (const ServerResult& server : result.servers) {
      if (server.server == name) AppendCompared(result, server, out);
    }
  }
}

nlohmann::json SampleToJson(const Sample& sample) {
  nlohmann::json json = {{"answered", sample.answered},
                         {"failed", sample.failed},
                         {"requests_per_s", sample.requests_per_s},
                         {"p50_us", sample.p50_us},
                         {"p99_us", sample.p99_us}};
  if (sample.server_cpu_us.has_value()) json["server_cpu_us"] = *sample.server_cpu_us;
  if (sample.failed > 0) json["first_error"] = sample.first_error;
  return json;
}

nlohmann::json ServerToJson(const ServerResult& server, const ServerResult& baseline) {
  const Medians m = Reduce(server.samples);
  const Comparison c = Compare(server.samples, baseline.samples);
  nlohmann::json json = {{"server", server.server}, {"requests_per_s", m.requests_per_s},
                         {"p50_us", m.p50_us},      {"p99_us", m.p99_us},
                         {"answered", m.answered},  {"failed", m.failed},
                         {"share", c.share},        {"p50_diff_us", c.p50_diff_us}};
  if (m.server_cpu_us.has_value()) json["server_cpu_us"] = *m.server_cpu_us;
  for (const Sample& sample : server.samples) json["samples"].push_back(SampleToJson(sample));
  return json;
}

std::string FirstErrors(const std::vector<CaseResult>& results) {
  std::string out;
  for (const CaseResult& result : results) {
    for (const ServerResult& server : result.servers) {
      const auto bad = std::find_if(server.samples.begin(), server.samples.end(),
                                    [](const Sample& sample) { return sample.failed > 0; });
      if (bad == server.samples.end()) continue;
      absl::StrAppend(&out, ToString(result.c), ", ", server.server, ": ", bad->first_error, "\n");
    }
  }
  return out;
}

}  // namespace

std::string FormatTables(const std::vector<CaseResult>& results, const std::string& other) {
  std::string out = absl::StrFormat("%-26s %-10s %9s %9s %15s %9s %8s %7s\n", "case", "server", "req/s", "p50 ms",
                                    "of repetitions", "p99 ms", "CPU us", "failed");
  for (const CaseResult& result : results) AppendMeasured(result, out);
  absl::StrAppend(&out, FirstErrors(results));
  if (!other.empty()) AppendComparedWith(results, other, out);
  AppendComparisonHeader(out);
  for (const CaseResult& result : results) AppendCompared(result, result.servers.front(), out);
  return out;
}

nlohmann::json ToJson(const std::vector<CaseResult>& results) {
  nlohmann::json json = nlohmann::json::array();
  for (const CaseResult& result : results) {
    nlohmann::json servers = nlohmann::json::array();
    for (const ServerResult& server : result.servers) servers.push_back(ServerToJson(server, result.servers.front()));
    json.push_back({{"case", ToString(result.c)}, {"servers", servers}});
  }
  return json;
}

bool AllAnswered(const std::vector<CaseResult>& results) { return FirstErrors(results).empty(); }

}  // namespace flashcore::bench
