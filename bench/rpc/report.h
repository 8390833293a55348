// The results of a comparison, for people and for machines.
#ifndef FLASHCORE_BENCH_RPC_REPORT_H_
#define FLASHCORE_BENCH_RPC_REPORT_H_

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "bench/rpc/cases.h"
#include "bench/rpc/samples.h"

namespace flashcore::bench {

struct ServerResult {
  std::string server;
  std::vector<Sample> samples;  // One for each repetition.
};

struct CaseResult {
  Case c;
  std::vector<ServerResult> servers;  // The baseline first.
};

// What every server did, case by case; how each compares with the server `other` ("": no such table); and at the end
// how each compares with the baseline.
std::string FormatTables(const std::vector<CaseResult>& results, const std::string& other);

nlohmann::json ToJson(const std::vector<CaseResult>& results);

// Every request of every case was answered.
bool AllAnswered(const std::vector<CaseResult>& results);

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_RPC_REPORT_H_
