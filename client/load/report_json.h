// The report for machines.
#ifndef FLASHCORE_CLIENT_LOAD_REPORT_JSON_H_
#define FLASHCORE_CLIENT_LOAD_REPORT_JSON_H_

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "client/load/report.h"

namespace flashcore {

// Units are in the keys. The top level is the point that is reported in full; "points" has all of them if there are
// more. A number that is not finite, or not known, is null. "latency_ms" is from the intended start, which in a closed
// loop is the send.
nlohmann::json ToJson(const LoadReport& report);

// One line for each point, under a line of column names.
std::string ToCsv(const LoadReport& report);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_REPORT_JSON_H_
