// The one place where absl::Status becomes what gRPC sends.
#ifndef FLASHCORE_SERVER_RPC_STATUS_H_
#define FLASHCORE_SERVER_RPC_STATUS_H_

#include <grpcpp/support/status.h>

#include <cstdint>

#include "absl/status/status.h"

namespace flashcore {

// When a client should try again after RESOURCE_EXHAUSTED. A full queue of ordinary requests is gone by then.
inline constexpr int64_t kRetryAfterMs = 100;

// gRPC's retry hint: trailing metadata, in milliseconds, honoured by clients with a retry policy.
inline constexpr char kRetryPushbackKey[] = "grpc-retry-pushback-ms";

grpc::Status ToGrpcStatus(const absl::Status& status);

// kRetryAfterMs for RESOURCE_EXHAUSTED; 0, no hint, for everything else.
int64_t RetryAfterMs(const absl::Status& status);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_STATUS_H_
