// The two ways to reach a server: a call for each request, and requests pipelined over streams.
//
// Requests are serialised once, before the load starts. A call sends references to those bytes, and reads an answer
// where gRPC has put it, so no tensor is copied unless an answer is to be checked.
#ifndef FLASHCORE_CLIENT_LOAD_GRPC_TRANSPORT_H_
#define FLASHCORE_CLIENT_LOAD_GRPC_TRANSPORT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/load/transport.h"
#include "client/load/workload.h"
#include "client/security.h"

namespace flashcore {

struct TransportOptions {
  std::string target;  // "host:port" or "unix:/path/to/socket".
  ChannelSecurity security = {};
  int channels = 1;  // Connections, used in turn. >= 1.
  // A call that has not ended by then ends with DEADLINE_EXCEEDED. Streams have no deadline for each request, so there
  // the server is not told.
  absl::Duration timeout = absl::InfiniteDuration();
  // Above 0: a slow reader. Each answer is read only this long after the one before it, or after the send of its call.
  absl::Duration slow_read = absl::ZeroDuration();
};

// Unary Attend. INVALID_ARGUMENT if a request is larger than a message can be, or as Client::Connect. `workload` must
// outlive the transport.
absl::StatusOr<std::unique_ptr<Transport>> MakeUnaryTransport(const TransportOptions& options,
                                                              const Workload& workload);

// AttendStream: one stream on each channel, opened by its first request, and again by the next one after it broke. To
// cancel one call of a stream is to cancel the stream, and all that is under way on it: gRPC knows nothing smaller.
absl::StatusOr<std::unique_ptr<Transport>> MakeStreamTransport(const TransportOptions& options,
                                                               const Workload& workload);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_GRPC_TRANSPORT_H_
