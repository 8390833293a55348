// One admitted request, shared by the caller and the scheduler.
#ifndef FLASHCORE_SERVER_SCHEDULER_REQUEST_H_
#define FLASHCORE_SERVER_SCHEDULER_REQUEST_H_

#include <cstdint>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "kernels/attention.h"
#include "server/engine/host_arena.h"
#include "server/scheduler/request_order.h"
#include "server/telemetry/stage.h"

namespace flashcore {

class Admission;
struct ConnectionShare;

// The caller writes the inputs and `done` before Submit and touches nothing until `done` runs; after that everything is
// the caller's again. May outlive the scheduler, but not its metrics.
class Request {
 public:
  // Only the scheduler can: it alone has a key.
  class Key {
    friend class Scheduler;
    Key() = default;
  };
  Request(Key key, std::shared_ptr<Admission> admission, std::shared_ptr<ConnectionShare> share,
          const RequestTerms& terms);
  // Gives the place in the queue back if it was never submitted.
  ~Request();
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  const RequestTerms& terms() const { return ticket_.terms; }

  // Pointers are set: q, k, v into `input`, o and lse into `output`.
  AttentionProblem problem;
  HostBlock input;   // Q, K, V, each aligned to HostArena::kAlignment. Freed by the scheduler before `done`.
  HostBlock output;  // O, then LSE if wanted, each so aligned. Freed before `done` unless that gets OK.

  // Set by the scheduler before `done`.
  StageTimes times;          // queue; upload, compute, download of the whole batch.
  int64_t computed_ns = 0;   // When those were over, by the scheduler's clock; 0 if it was never launched.
  int64_t batch_size = 0;    // 0 if it was never launched.
  absl::string_view kernel;  // Valid as long as the engines.

  // Called exactly once after Submit, on a lane's thread or on the thread that calls Cancel, Submit or the scheduler's
  // destructor; never under a lock of the scheduler's, so it may call Admit, Submit and Cancel. OK, DEADLINE_EXCEEDED,
  // CANCELLED, UNAVAILABLE or INTERNAL. Must not block.
  absl::AnyInvocable<void(const absl::Status&)> done;

 private:
  friend class RequestQueue;
  friend class Scheduler;
  enum class Phase : uint8_t { kAdmitted, kCancelledEarly, kQueued, kTaken };

  const std::shared_ptr<Admission> admission_;
  const std::shared_ptr<ConnectionShare> share_;
  int64_t batch_bytes_ = 0;
  double flops_ = 0;
  int64_t submitted_ns_ = 0;
  // Under the queue's mutex from Submit on.
  Phase phase_ = Phase::kAdmitted;
  Ticket ticket_;
  std::shared_ptr<Request> self_;  // While it waits: the queue holds it by its ticket.
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_SCHEDULER_REQUEST_H_
