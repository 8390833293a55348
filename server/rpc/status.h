// The one place where absl::Status becomes what gRPC sends.
#ifndef FLASHCORE_SERVER_RPC_STATUS_H_
#define FLASHCORE_SERVER_RPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace flashcore {

// Where RetryAfterMs of a unary call goes: gRPC's retry hint, trailing metadata that clients with a retry policy
// honour.
inline constexpr char kRetryPushbackKey[] = "grpc-retry-pushback-ms";

grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_STATUS_H_
