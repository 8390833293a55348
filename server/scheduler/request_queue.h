// Submitted requests, from which lanes take batches: within the batch's budgets, in the order of request_order.h.
//
// Work-conserving: a lane that finds something waiting takes it, and a request that comes wakes a lane that waits, on
// the device where most do. With a delay for gathering, one lane at a time waits for a batch to fill up instead, until
// the oldest request has waited for that long; one whose deadline comes sooner is not waited with.
//
// To wake a lane that sleeps takes some fifty microseconds. With a time for polling, the first lane of each device that
// finds nothing looks out for its call for that long before it sleeps. It yields its CPU to whoever wants it.
//
// A request that does not fit the batch ends it: whatever comes next in the order is not overtaken by what would fit.
//
// Thread-safe. Only Take blocks. Nothing here runs a request's `done`: requests that leave otherwise than in a batch
// are returned to the caller, who ends them outside the lock.
#ifndef FLASHCORE_SERVER_SCHEDULER_REQUEST_QUEUE_H_
#define FLASHCORE_SERVER_SCHEDULER_REQUEST_QUEUE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "kernels/base/mutex.h"
#include "server/scheduler/drain_meter.h"
#include "server/scheduler/request.h"
#include "server/scheduler/request_order.h"
#include "server/telemetry/clock.h"

namespace flashcore {

// What a batch, or a request, takes.
struct BatchSize {
  int64_t requests = 0;
  int64_t bytes = 0;
  double flops = 0;

  void Add(const BatchSize& other);
  void Subtract(const BatchSize& other);
  // Whether it has reached one of the budgets.
  bool Fills(const BatchSize& budget) const;
  // Whether adding `other` keeps it within the budgets. The first always does.
  bool HasRoomFor(const BatchSize& other, const BatchSize& budget) const;
  // The greatest part of a budget that it takes.
  double ShareOf(const BatchSize& budget) const;
};

class RequestQueue {
 public:
  using Requests = std::vector<std::shared_ptr<Request>>;

  // What leaves the queue at once; both lists may be empty.
  struct Taken {
    Requests batch;  // In order.
    BatchSize size;
    Requests expired;  // Their deadline passed while they waited.
    int64_t taken_ns = 0;

    void Clear();
  };

  // `budget` is one batch's: at least one request, and no more than each allows. Polling is by the steady clock.
  RequestQueue(const BatchSize& budget, int64_t max_delay_ns, int64_t lane_poll_ns, size_t devices, const Clock& clock)
      : budget_(budget), max_delay_ns_(max_delay_ns), lane_poll_ns_(lane_poll_ns), clock_(clock), devices_(devices) {}

  // OK: it waits. Otherwise it does not, and this is what to end it with: CANCELLED, why the
  // queue is closed, or DEADLINE_EXCEEDED.
  absl::Status Push(const std::shared_ptr<Request>& request);

  // Waits until there is something to take for a lane of `device`, and replaces `taken`, with which the lane is
  // through, by it. False: the queue is closed, for good.
  bool Take(size_t device, Taken& taken);

  // Takes the request out if it waits. If it was never pushed, Push will refuse it. True if it was waiting.
  bool Cancel(const std::shared_ptr<Request>& request);

  // From here on Push gives `reason` and Take false. Returns what waited. Only the first call has an effect.
  Requests Close(absl::Status reason);

  // Lanes that wait in Take and have not been called.
  int idle_lanes();

  // What the server takes for one request when it is busy; 0 before that was measured.
  double TimePerRequestNs() const { return time_per_request_ns_.load(std::memory_order_relaxed); }
  // When somebody who finds the server full should try again.
  int64_t RetryAfterMs();

 private:
  struct Device;

  // Tells a lane that it has been called. Outside of the lock, so that whoever wakes need not wait for it.
  struct WakeUp {
    Device* device = nullptr;  // nullptr: nobody is to be told.
    bool polls = false;

    void operator()() const;
  };

  // The lanes of one device. Each lane that waits is either idle or called. At most one of the idle ones polls: it does
  // not wait for `called` but for a post of its own number, which comes from outside of the lock.
  struct Device {
    // Calls one of the idle lanes, of which there is one.
    WakeUp Call();

    CondVar called;
    int idle = 0;
    int calls = 0;
    uint64_t polled_post = 0;  // That of the lane that polls; 0: none does.
    uint64_t posts_due = 0;
    std::atomic<uint64_t> posts = 0;
  };

  static BatchSize SizeOf(const Request& request);
  // Why it may not wait.
  absl::Status Refusal(const Request& request) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::shared_ptr<Request> TakeOut(Request& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Calls an idle lane, if there is one.
  WakeUp CallLane() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WaitForCall(Device& device) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Until the lane is called or its time is up, without the lock.
  void Poll(Device& device) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  int IdleLanes() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TakeExpired(int64_t now_ns, Taken& taken) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // When what waits is to be launched; not later than now if it fills a batch.
  int64_t LaunchTimeNs() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Gather(int64_t until_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NoteFinished(const Taken& taken) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FillBatch(Taken& taken) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const BatchSize budget_;
  const int64_t max_delay_ns_;
  const int64_t lane_poll_ns_;
  const Clock& clock_;
  Mutex mutex_;
  absl::Status closed_ ABSL_GUARDED_BY(mutex_);
  RequestOrder order_ ABSL_GUARDED_BY(mutex_);
  BatchSize waiting_ ABSL_GUARDED_BY(mutex_);
  DrainMeter meter_ ABSL_GUARDED_BY(mutex_);
  std::atomic<double> time_per_request_ns_ = 0;  // The meter's.
  std::deque<Device> devices_ ABSL_GUARDED_BY(mutex_);
  bool gathering_ ABSL_GUARDED_BY(mutex_) = false;
  CondVar gathered_;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_SCHEDULER_REQUEST_QUEUE_H_
