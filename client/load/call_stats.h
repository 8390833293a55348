// What was measured. Each writer has one while a run lasts; they are merged at its end.
#ifndef FLASHCORE_CLIENT_LOAD_CALL_STATS_H_
#define FLASHCORE_CLIENT_LOAD_CALL_STATS_H_

#include <cstdint>
#include <string>

#include "client/attend.h"
#include "client/load/error_table.h"
#include "client/load/histogram.h"
#include "client/load/timeline.h"
#include "client/load/transport.h"

namespace flashcore {

// When one call was due, sent and over, in nanoseconds of the run's clock.
struct CallTimes {
  int64_t intended_ns = 0;  // In a closed loop, which has no schedule: sent_ns.
  int64_t sent_ns = 0;
  int64_t ended_ns = 0;
  // It was sent late because as many calls as allowed were under way, or because calls before it were for that reason.
  bool held_back = false;
};

// Not thread-safe.
struct CallStats {
  // A call that was sent more than this after it was due is a late send.
  static constexpr int64_t kLateNs = 1'000'000;

  Histogram latency;       // From the intended start, of the calls that were answered.
  Histogram send_latency;  // From the send, of the same calls.
  Histogram send_delay;    // From the intended start to the send, of the calls that were not held back.
  Histogram server_total;  // ServerTiming::total_ns, of the calls that were answered.
  Timeline timeline;
  ErrorTable errors;
  int64_t held_back = 0;      // Late sends because too much was under way: the server's doing.
  int64_t late = 0;           // Late sends for no such reason: the client's own.
  int64_t cancelled = 0;      // By plan; neither answered nor failed.
  int64_t check_skipped = 0;  // Answers sampled for a check that found too many waiting for theirs.
  int64_t check_waits = 0;    // Answers that held the loop back until they were checked.
  int64_t bytes_sent = 0;     // Tensor bytes, of the calls that were answered.
  int64_t bytes_received = 0;
  double flops = 0;
  int64_t last_end_ns = 0;
  ServerTiming server;  // Sums over the answered calls.
  std::string kernel;   // That answered first.

  int64_t answered() const { return latency.count(); }
  int64_t failed() const { return errors.total(); }
  // All that were sent and have ended.
  int64_t ended() const { return answered() + failed() + cancelled; }

  // `start_ns`: the start of the measurement.
  void Record(const CallTimes& times, int64_t start_ns, const PreparedRequest& request, const CallOutcome& outcome);
  void Merge(const CallStats& other);
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_CALL_STATS_H_
