// How a load run makes its calls: what it asks of the network, without the network.
#ifndef FLASHCORE_CLIENT_LOAD_TRANSPORT_H_
#define FLASHCORE_CLIENT_LOAD_TRANSPORT_H_

#include <cstdint>
#include <optional>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/attend.h"
#include "client/load/workload.h"

namespace flashcore {

struct CallPlan {
  const PreparedRequest* request = nullptr;
  // Also hand over the answer's tensors, which copies them. Their dtype, shape and size are checked in any case.
  bool keep_answer = false;
  // Cancel the call this long after its start if it has not ended by then.
  std::optional<absl::Duration> cancel_after = std::nullopt;
};

struct CallOutcome {
  absl::Status status;
  // It was CancelledError because the plan said so.
  bool cancelled_by_plan = false;
  // Of an answered call.
  ServerTiming timing;
  int64_t bytes_received = 0;          // Tensor bytes.
  std::optional<AttendResult> answer;  // If it was to be kept.
};

// Thread-safe.
class Transport {
 public:
  using Done = absl::AnyInvocable<void(CallOutcome)>;

  Transport() = default;
  // Every call has ended by then: the caller sees to it.
  virtual ~Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // Starts one call. `done` runs exactly once, on any thread, possibly before this returns, and must not block. Does
  // not block.
  virtual void Start(const CallPlan& plan, Done done) = 0;
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_TRANSPORT_H_
