// One line in the log for each request that took long, with the time of every stage.
//
//   level=warning msg=slow_request method=Attend code=OK total_us=15210 receive_us=12 ... send_us=80 bytes_in=1572864
//     bytes_out=524288 shape=1,8,8,512,512,64 batch_requests=3 request_id=0 traceparent=00-4bf92f...-01 not_logged=0
#ifndef FLASHCORE_SERVER_TELEMETRY_SLOW_LOG_H_
#define FLASHCORE_SERVER_TELEMETRY_SLOW_LOG_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "kernels/base/mutex.h"
#include "server/telemetry/clock.h"
#include "server/telemetry/metrics.h"

namespace flashcore {

// What the log tells of a request besides its record.
struct RequestContext {
  std::string shape;              // "B,Hq,Hkv,Sq,Skv,D", as the load client takes it; empty if it never got that far.
  int64_t batch_requests = 0;     // In its batch; 0 if it was never in one.
  uint64_t request_id = 0;        // Of a request of a stream, as its client numbers it.
  absl::string_view traceparent;  // As in W3C Trace Context; empty if the caller gave none.
};

// Thread-safe. Writing blocks on stderr, so at most kMostPerSecond lines are written in a second, and the next one says
// how many were left out: a server that is slow for everybody does not become slower by saying so.
class SlowLog {
 public:
  static constexpr int64_t kMostPerSecond = 10;

  // Logs requests that took `threshold_ns` or longer; 0: none. The clock must outlive the log.
  SlowLog(int64_t threshold_ns, const Clock& clock) : threshold_ns_(threshold_ns), clock_(clock) {}

  bool enabled() const { return threshold_ns_ > 0; }
  bool IsSlow(int64_t total_ns) const { return enabled() && total_ns >= threshold_ns_; }

  // Writes the line, unless this second has had its share.
  void Write(const CallRecord& record, const RequestContext& context);

 private:
  // Whether there may be a line now; if so, `not_logged` is how many were left out since the last one.
  bool MayWrite(int64_t& not_logged);

  const int64_t threshold_ns_;
  const Clock& clock_;

  Mutex mutex_;
  int64_t second_began_ns_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t written_ ABSL_GUARDED_BY(mutex_) = 0;  // In that second.
  int64_t not_logged_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_SLOW_LOG_H_
