// What the scheduler needs to know of a call besides its message.
#ifndef FLASHCORE_SERVER_RPC_CALL_CONTEXT_H_
#define FLASHCORE_SERVER_RPC_CALL_CONTEXT_H_

#include <grpcpp/server_context.h>

#include <cstdint>

#include "server/telemetry/clock.h"

namespace flashcore {

struct CallContext {
  // On the server's clock; kNoDeadlineNs for a call without one. gRPC keeps deadlines on the system's clock: only what
  // is left of them is carried over.
  int64_t deadline_ns = kNoDeadlineNs;
  // The same for all calls of a connection, and in all likelihood no other's. The clients of a Unix socket have no
  // address, so that gRPC cannot tell their connections apart: together they are one.
  uint64_t connection = 0;
};

CallContext ReadCallContext(const grpc::CallbackServerContext& context, const Clock& clock);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_CALL_CONTEXT_H_
