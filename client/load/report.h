// What came of a load test: one point, or several of a sweep or a search; and what all reports derive from it.
#ifndef FLASHCORE_CLIENT_LOAD_REPORT_H_
#define FLASHCORE_CLIENT_LOAD_REPORT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/client.h"
#include "client/load/options.h"
#include "client/load/rate_search.h"
#include "client/load/run_options.h"
#include "client/load/runner.h"
#include "client/load/server_metrics.h"
#include "client/load/validity.h"
#include "client/load/verifier.h"

namespace flashcore {

// One run.
struct PointReport {
  RunOptions run;
  RunResult result;
  VerifierTotals verified;
  absl::StatusOr<ServerMetrics> metrics = absl::NotFoundError("not scraped");
  Validity validity;
};

struct LoadReport {
  LoadOptions options;
  ServerInfo server;
  absl::Time started;
  std::vector<PointReport> points;  // In the order they were measured. At least one.
  size_t main = 0;                  // The one that is reported in full.
  std::optional<RateSearchResult> search;

  const PointReport& point() const { return points[main]; }
};

struct NamedQuantile {
  const char* name;
  double quantile;
};
inline constexpr std::array<NamedQuantile, 5> kQuantiles = {
    {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999}}};

inline constexpr double kNsPerMs = 1e6;
inline constexpr double kMiB = 1024.0 * 1024.0;
inline constexpr double kGiga = 1e9;

// A stage's mean over the answered calls, from the answers' own Timing.
struct StageMean {
  std::string name;
  double ms = 0;
};
std::vector<StageMean> StageMeans(const CallStats& stats);

// `sum` over the answered calls, for each of them; 0 if there are none.
double PerAnswer(const PointReport& point, double sum);
// `sum` over the measured part, for each second of it.
double PerSecond(const PointReport& point, double sum);
double AnsweredPerSecond(const PointReport& point);
double QuantileMs(const Histogram& histogram, double quantile);

// Whether all is well with the server: something was answered, at most options.max_errors of the calls failed, no
// answer was wrong, and something was verified if that was asked for.
bool IsGood(const LoadReport& report, const PointReport& point);
// Whether that is so at every point, except where a search looks for rates that are too high.
bool IsGood(const LoadReport& report);
// Whether the client was the limit nowhere; of a search, whether it was not what ended it.
bool IsValid(const LoadReport& report);

// "open loop, 500/s, Poisson arrivals" or "closed loop, concurrency 16".
std::string DescribeLoop(const RunOptions& run);
// "rate" or "concurrency": what tells the points of a sweep apart, and its value at one of them.
std::string VariableName(const RunOptions& run);
double VariableValue(const RunOptions& run);
// "1,234.5/s is the highest rate that ..." in one sentence.
std::string DescribeSearch(const LoadReport& report);

// 1234567 as 1,234,567.
std::string Grouped(int64_t value);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_REPORT_H_
