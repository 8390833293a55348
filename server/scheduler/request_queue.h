// Submitted requests in the order of their submission, from which lanes take batches.
//
// Thread-safe. Only Take blocks. Nothing here runs a request's `done`: requests that leave otherwise than in a batch
// are returned to the caller, who ends them outside the lock.
#ifndef FLASHCORE_SERVER_SCHEDULER_REQUEST_QUEUE_H_
#define FLASHCORE_SERVER_SCHEDULER_REQUEST_QUEUE_H_

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "kernels/base/mutex.h"
#include "server/scheduler/scheduler.h"
#include "server/telemetry/clock.h"

namespace flashcore {

class RequestQueue {
 public:
  using Requests = std::vector<std::shared_ptr<Request>>;

  // What leaves the queue at once; both lists may be empty.
  struct Taken {
    Requests batch;    // Within the budgets, oldest first.
    Requests expired;  // Their deadline passed while they waited.
    int64_t taken_ns = 0;
  };

  // One batch: at least one request, and no more than both budgets allow.
  RequestQueue(int64_t max_batch_requests, int64_t max_batch_bytes)
      : max_batch_requests_(max_batch_requests), max_batch_bytes_(max_batch_bytes) {}

  // OK: it waits. Otherwise it does not, and this is what to end it with: CANCELLED, or why the queue is closed.
  absl::Status Push(const std::shared_ptr<Request>& request);

  // Waits until there is something to take. nullopt: the queue is closed, for good.
  std::optional<Taken> Take(const Clock& clock);

  // Takes the request out if it waits. If it was never pushed, Push will refuse it. True if it was waiting.
  bool Cancel(const std::shared_ptr<Request>& request);

  // From here on Push gives `reason` and Take nullopt. Returns what waited. Only the first call has an effect.
  Requests Close(absl::Status reason);

 private:
  const int64_t max_batch_requests_;
  const int64_t max_batch_bytes_;
  Mutex mutex_;
  CondVar changed_;
  absl::Status closed_ ABSL_GUARDED_BY(mutex_);
  std::list<std::shared_ptr<Request>> waiting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_SCHEDULER_REQUEST_QUEUE_H_
