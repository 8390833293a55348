// What one answer holds, for people and for machines.
#ifndef FLASHCORE_CLIENT_ATTEND_SUMMARY_H_
#define FLASHCORE_CLIENT_ATTEND_SUMMARY_H_

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "client/attend.h"
#include "client/attend/options.h"
#include "client/verify/reference_check.h"

namespace flashcore {

struct AttendSummary {
  AttendInputs inputs;
  AttendResult answer;
  absl::Duration latency;          // As seen here, connecting included.
  std::optional<Verdict> verdict;  // If it was verified.
};

// Ends with a line break.
std::string FormatSummary(const AttendSummary& summary);

// Units are in the keys. Numbers that are not finite are null.
nlohmann::json ToJson(const AttendSummary& summary);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_ATTEND_SUMMARY_H_
