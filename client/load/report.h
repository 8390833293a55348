// What a run found, for people (a table) and for machines (JSON).
#ifndef FLASHCORE_CLIENT_LOAD_REPORT_H_
#define FLASHCORE_CLIENT_LOAD_REPORT_H_

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "client/client.h"
#include "client/load/options.h"
#include "client/load/runner.h"
#include "client/load/verifier.h"

namespace flashcore {

struct LoadReport {
  LoadOptions options;
  ServerInfo server;
  RunResult run;
  VerifierTotals verified;
  double client_cpu_seconds = 0;  // User and system time of this process in the whole run.
  absl::Duration wall;            // Of the whole run, warm-up included.
};

// Whether all is well: something was answered, nothing failed, no answer was wrong, and something was verified if that
// was asked for.
bool IsGood(const LoadReport& report);

// Ends with a line break.
std::string FormatTable(const LoadReport& report);

// Units are in the keys. An error that is not finite is null.
nlohmann::json ToJson(const LoadReport& report);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_REPORT_H_
