// The gate in front of the queue: who may pass it, what each connection holds, and the count of what has passed and not
// yet ended.
//
//   Enter ---> LeaveQueue (a lane takes it, or it is dropped) ---> End (its `done` has returned)
//
// Thread-safe. Only WaitIdle blocks.
#ifndef FLASHCORE_SERVER_SCHEDULER_ADMISSION_H_
#define FLASHCORE_SERVER_SCHEDULER_ADMISSION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "kernels/base/mutex.h"
#include "server/engine/host_arena.h"
#include "server/scheduler/backlog_limit.h"
#include "server/scheduler/request_order.h"
#include "server/telemetry/clock.h"
#include "server/telemetry/metrics.h"

namespace flashcore {

// What a connection holds. As a MemoryAccount: its staging memory, until the answers have been sent.
struct ConnectionShare : MemoryAccount {
  int64_t places = 0;  // In the queue. Under the mutex of the Admission.
};

class Admission {
 public:
  // What Enter found.
  struct Entry {
    absl::Status status;
    Rejection rejection = Rejection::kQueueFull;  // If the status is not OK.
    std::shared_ptr<ConnectionShare> share;       // If it is.
  };

  // At most `max_waiting` in the queue, and no more in all than `backlog` allows. The metrics must outlive it.
  Admission(int64_t max_waiting, const BacklogLimit& backlog, Metrics& metrics)
      : max_waiting_(max_waiting), metrics_(metrics), backlog_(backlog) {}
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  // Takes a place in the queue. RESOURCE_EXHAUSTED: none is free for this priority, or the connection holds its share
  // (fair_limit.h), or the backlog is too long (backlog_limit.h). The gate's status if it is closed.
  Entry Enter(const RequestTerms& terms, double time_per_request_ns, int64_t now_ns);
  // Gives the place back.
  void LeaveQueue(const RequestTerms& terms, ConnectionShare& share);
  // What a lane took has been computed, at `now_ns`; before any of it Ends.
  void NoteComputed(int64_t now_ns);
  // Its request has been answered, or is about to be.
  void LeaveService();
  // Nothing of it is left.
  void End();

  // From here on Enter gives `reason`. INTERNAL (a fault) stays, any other reason gives way to a later one. True if
  // `reason` is now Enter's.
  bool Close(absl::Status reason);

  // Until everything that entered has ended, until `deadline_ns` of `clock` at the latest. True if it has.
  bool WaitIdle(const Clock& clock, int64_t deadline_ns);

  // Connections that are kept count of: those that hold something, and some that lately did.
  size_t connections();

 private:
  static constexpr size_t kLeastConnectionsToSweep = 64;

  std::shared_ptr<ConnectionShare> ShareOf(uint64_t connection) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SweepConnections() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int64_t max_waiting_;
  Metrics& metrics_;
  Mutex mutex_;
  BacklogLimit backlog_ ABSL_GUARDED_BY(mutex_);
  CondVar idle_;
  absl::Status gate_ ABSL_GUARDED_BY(mutex_);
  int64_t waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t unfinished_ ABSL_GUARDED_BY(mutex_) = 0;
  // Requests and their blocks hold on to a share; one that only this map holds is empty, and swept out now and then.
  std::unordered_map<uint64_t, std::shared_ptr<ConnectionShare>> shares_ ABSL_GUARDED_BY(mutex_);
  size_t sweep_at_ ABSL_GUARDED_BY(mutex_) = kLeastConnectionsToSweep;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_SCHEDULER_ADMISSION_H_
