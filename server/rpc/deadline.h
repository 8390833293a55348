// A call's deadline on the server's clock.
#ifndef FLASHCORE_SERVER_RPC_DEADLINE_H_
#define FLASHCORE_SERVER_RPC_DEADLINE_H_

#include <grpcpp/server_context.h>

#include <cstdint>

#include "server/telemetry/clock.h"

namespace flashcore {

// gRPC keeps deadlines on the system's clock; only what is left of them is carried over. kNoDeadlineNs for a call
// without one.
int64_t DeadlineNs(const grpc::CallbackServerContext& context, const Clock& clock);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_DEADLINE_H_
