// What the scheduler and the log need to know of a call besides its message.
#ifndef FLASHCORE_SERVER_RPC_CALL_CONTEXT_H_
#define FLASHCORE_SERVER_RPC_CALL_CONTEXT_H_

#include <grpcpp/server_context.h>

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "server/telemetry/clock.h"

namespace flashcore {

struct CallContext {
  // On the server's clock; kNoDeadlineNs for a call without one. gRPC keeps deadlines on the system's clock: only what
  // is left of them is carried over.
  int64_t deadline_ns = kNoDeadlineNs;
  // The same for all calls of a connection, and in all likelihood no other's that lives at the same time.
  uint64_t connection = 0;
  // W3C Trace Context, for the log: from the metadata, empty if there is none or it is malformed.
  std::string traceparent;
};

// Leaves `traceparent` empty unless it is wanted: gRPC's metadata is not free to look at.
CallContext ReadCallContext(const grpc::CallbackServerContext& context, const Clock& clock, bool want_traceparent);

// "00-<32 hex digits>-<16>-<2>", lower case, as version 00 of W3C Trace Context has it.
bool IsTraceparent(absl::string_view text);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_CALL_CONTEXT_H_
