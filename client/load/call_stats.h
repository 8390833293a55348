// What was measured: one for each writer while a run lasts, merged at its end.
#ifndef FLASHCORE_CLIENT_LOAD_CALL_STATS_H_
#define FLASHCORE_CLIENT_LOAD_CALL_STATS_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "client/attend.h"
#include "client/load/histogram.h"
#include "client/load/workload.h"

namespace flashcore {

struct ErrorCount {
  int64_t count = 0;
  std::string first_message;
};

// Not thread-safe.
struct CallStats {
  Histogram latency;       // Of the calls that were answered.
  Histogram server_total;  // Of the same calls: ServerTiming::total_ns.
  std::map<absl::StatusCode, ErrorCount> errors;
  int64_t bytes_sent = 0;  // Tensor bytes, of the calls that were answered.
  int64_t bytes_received = 0;
  double flops = 0;
  // Sums over the answered calls.
  ServerTiming server;
  std::string kernel;  // That answered first.

  int64_t answered() const { return latency.count(); }
  int64_t failed() const;

  void RecordAnswer(int64_t latency_ns, const PreparedRequest& request, const AttendResult& answer);
  void RecordError(const absl::Status& status);
  void Merge(const CallStats& other);
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_CALL_STATS_H_
