// Whether a run measured the server, or only the client that measured it.
//
// A run is invalid if the client was the limit. The rules, each with its bound below:
//
//   late sends    more than kMaxLateShare of an open loop's calls were sent so late after they were due that it shows
//   in
//                 the result: by more than 1 ms and more than kMaxDelayShare of the reported p99; and not because as
//                 many calls as allowed were under way. The client could not keep the schedule
//   client CPU    the client used more than kMaxCpuShare of the cores that it may run on
//   busy thread   one of the client's threads was busy for more than kMaxThreadShare of the time
//   starved       a thread that asked to be woken was woken so late, at the 99th percentile, that it could be
//                 kMaxWakeShare of the reported p99, and more than 1 ms
//
// What the server caused, a rate it cannot keep or calls it refuses, makes a run bad news, not invalid. Such things,
// and figures that say less than they seem to, are notes.
#ifndef FLASHCORE_CLIENT_LOAD_VALIDITY_H_
#define FLASHCORE_CLIENT_LOAD_VALIDITY_H_

#include <string>
#include <vector>

#include "client/load/run_options.h"
#include "client/load/runner.h"

namespace flashcore {

inline constexpr double kMaxLateShare = 0.01;
inline constexpr double kMaxDelayShare = 0.1;
inline constexpr double kMaxCpuShare = 0.9;
inline constexpr double kMaxThreadShare = 0.95;
inline constexpr double kMaxWakeShare = 0.25;

struct Validity {
  std::vector<std::string> reasons;  // Why the run is invalid.
  std::vector<std::string> notes;

  bool valid() const { return reasons.empty(); }
};

Validity Judge(const RunOptions& options, const RunResult& result);

// Of the calls that were due, those that went out late through no fault of the client's, or never.
double HeldBackShare(const RunResult& result);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_VALIDITY_H_
