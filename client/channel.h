// How this client's connections are made. Internal to the client library.
#ifndef FLASHCORE_CLIENT_CHANNEL_H_
#define FLASHCORE_CLIENT_CHANNEL_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>

#include <memory>
#include <string>

#include "absl/time/time.h"

namespace flashcore {

// Calls that hand over bytes as gRPC holds them.
using RawStub = grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer>;

inline constexpr char kAttendMethod[] = "/flashcore.v1.AttentionService/Attend";
inline constexpr char kAttendStreamMethod[] = "/flashcore.v1.AttentionService/AttendStream";

// A connection of its own to "host:port" or "unix:/path/to/socket": plain text, no proxy, no bound on messages, quick
// to reconnect. Touches no network: the first call connects. gRPC's threads, once started, stay for the life of the
// process.
std::shared_ptr<grpc::Channel> CreateChannel(const std::string& target);

// `timeout` from now; none if it is infinite.
void SetDeadline(grpc::ClientContext& context, absl::Duration timeout);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_CHANNEL_H_
