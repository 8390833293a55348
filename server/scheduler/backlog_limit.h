// How long the backlog may be: the time that all admitted requests together take to compute, by the time measured for
// one.
//
// Callers that wait for their answers are no overload, however many they are: their requests get no more. So everything
// gets in until the backlog is long and many requests besides: the longer, the fewer will do. Then more come than go:
// the server is overloaded, and from then on holds only what it answers within some twice the time that it takes for a
// lonely request. That keeps its lanes busy, and what gets in is answered soon. It is over when nobody had to be turned
// away for a second.
//
// A fixed limit holds at all times instead. Not thread-safe.
#ifndef FLASHCORE_SERVER_SCHEDULER_BACKLOG_LIMIT_H_
#define FLASHCORE_SERVER_SCHEDULER_BACKLOG_LIMIT_H_

#include <cstdint>
#include <optional>

#include "server/telemetry/priority.h"

namespace flashcore {

class BacklogLimit {
 public:
  // A backlog of so many requests, and longer than this, is an overload; so are fewer that take much longer.
  static constexpr int64_t kOverloadRequests = 128;
  static constexpr int64_t kOverloadNs = 100'000'000;
  static constexpr int64_t kLongOverloadRequests = 80;
  static constexpr int64_t kLongOverloadNs = 1'000'000'000;
  // What may then wait: by the time of a lonely request, and at least.
  static constexpr int64_t kLonelyRequests = 2;
  static constexpr int64_t kLeastNs = 2'000'000;
  // Without refusals for so long, it is over.
  static constexpr int64_t kCalmNs = 1'000'000'000;

  // `fixed_ns` 0: none. `lanes`: of all devices.
  BacklogLimit(int64_t fixed_ns, int64_t lanes);

  // Whether a request may join `unfinished` others, each of which takes `time_per_request_ns` (0: not known).
  bool Admits(Priority priority, int64_t unfinished, double time_per_request_ns, int64_t now_ns);
  // It has joined them.
  void Joined(int64_t unfinished, int64_t now_ns);
  // One or more have been computed.
  void Computed(int64_t now_ns);

 private:
  bool Fits(Priority priority, int64_t unfinished, double time_per_request_ns) const;

  const int64_t fixed_ns_;
  const int64_t least_requests_;  // These fit in any backlog: with fewer, lanes would wait for work.
  bool overloaded_ = false;
  int64_t refused_ns_ = 0;                 // Most lately, while overloaded.
  double lonely_ns_ = 0;                   // What a lonely request takes, a mean over the last ones; 0: not known.
  std::optional<int64_t> alone_since_ns_;  // When that came which has had the server to itself since, if any has.
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_SCHEDULER_BACKLOG_LIMIT_H_
