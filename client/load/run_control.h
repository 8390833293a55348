// What both loops have in common: which part of a run this is, when it is over, and how it goes.
//
//   |-- warm-up: not measured --|-- measured: by time, or a number of requests --|-- what is under way ends --|
//
// A call is measured if it was due in the measured part.
#ifndef FLASHCORE_CLIENT_LOAD_RUN_CONTROL_H_
#define FLASHCORE_CLIENT_LOAD_RUN_CONTROL_H_

#include <atomic>
#include <cstdint>

#include "absl/time/time.h"
#include "client/load/clock.h"

namespace flashcore {

struct RunPhases {
  absl::Duration warmup = absl::ZeroDuration();
  // Measured part: this many requests if > 0, else this long.
  int64_t requests = 0;
  absl::Duration duration = absl::Seconds(10);
  // Ends the run when calls fail and none has been answered for this long.
  absl::Duration give_up_after = absl::Seconds(10);
};

enum class Permit : uint8_t {
  kNone,  // The run is over.
  kUnmeasured,
  kMeasured,
};

// Thread-safe, but for Begin.
class RunControl {
 public:
  // `clock` must outlive this.
  RunControl(const RunPhases& phases, LoadClock& clock) : phases_(phases), clock_(clock) {}

  // Sets the times, from now. Before anything else, once.
  void Begin();

  // Whether a call that is due at `due_ns` may be made. Counts it if it is to be measured.
  Permit MayStart(int64_t due_ns);
  void NoteOutcome(bool answered, bool measured);
  // Makes MayStart say no.
  void Stop();
  // Stops the run if it should give up.
  void GiveUpIfHopeless();

  bool stopping() const { return stopping_.load(std::memory_order_relaxed); }
  bool stopped_by_caller() const { return stopped_by_caller_; }
  bool gave_up() const { return gave_up_; }
  int64_t run_start_ns() const { return run_start_ns_; }
  int64_t measure_start_ns() const { return measure_start_ns_; }
  int64_t measure_end_ns() const { return measure_end_ns_; }
  // Of measured calls.
  int64_t answered() const { return answered_.load(std::memory_order_relaxed); }
  int64_t failed() const { return failed_.load(std::memory_order_relaxed); }

 private:
  const RunPhases phases_;
  LoadClock& clock_;
  int64_t run_start_ns_ = 0;
  int64_t measure_start_ns_ = 0;
  int64_t measure_end_ns_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> stopped_by_caller_ = false;
  std::atomic<bool> gave_up_ = false;
  std::atomic<int64_t> requests_started_ = 0;  // Measured ones.
  std::atomic<int64_t> answered_ = 0;
  std::atomic<int64_t> failed_ = 0;
  std::atomic<int64_t> last_answer_ns_ = 0;
  std::atomic<int64_t> failed_since_answer_ = 0;
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_RUN_CONTROL_H_
