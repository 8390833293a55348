// One run of load: how calls are made, how many, and what is done with them.
#ifndef FLASHCORE_CLIENT_LOAD_RUN_OPTIONS_H_
#define FLASHCORE_CLIENT_LOAD_RUN_OPTIONS_H_

#include <cstdint>

#include "absl/time/time.h"
#include "client/load/arrivals.h"
#include "client/load/run_control.h"

namespace flashcore {

struct RunOptions {
  // 0: a closed loop of `concurrency` slots, each of which makes its next call when the last has ended. Above 0: an
  // open loop that makes this many calls a second, whatever becomes of them.
  double rate = 0;
  int concurrency = 1;

  // Of an open loop.
  ArrivalKind arrivals = ArrivalKind::kConstant;
  int senders = 1;  // Threads that share the schedule. >= 1.
  // Calls under way at any time, which bounds memory: beyond, sends are held back, and charged for it. >= `senders`.
  int max_in_flight = 1024;

  RunPhases phases = {};
  // Of the answers, sampled at random, warm-up included: 0 to 1.
  double verify_fraction = 0;
  // Of the calls, each at a random moment within `cancel_within` of its send: 0 to 1.
  double cancel_fraction = 0;
  absl::Duration cancel_within = absl::Milliseconds(10);
  uint64_t seed = 0;

  bool open_loop() const { return rate > 0; }
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_RUN_OPTIONS_H_
