// How this client's connections are made, and what each of their calls carries. Internal to the client library.
#ifndef FLASHCORE_CLIENT_CHANNEL_H_
#define FLASHCORE_CLIENT_CHANNEL_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/byte_buffer.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/security.h"
#include "client/token_file.h"

namespace flashcore {

// Calls that hand over bytes as gRPC holds them.
using RawStub = grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer>;

inline constexpr char kAttendMethod[] = "/flashcore.v1.AttentionService/Attend";
inline constexpr char kAttendStreamMethod[] = "/flashcore.v1.AttentionService/AttendStream";

// One server, and the way to speak with it. Thread-safe.
class Connector {
 public:
  // `target` is "host:port" or "unix:/path/to/socket", or another name that gRPC takes. Reads the files of `security`.
  // INVALID_ARGUMENT names what is wrong with it.
  static absl::StatusOr<std::shared_ptr<const Connector>> Create(const std::string& target,
                                                                 const ChannelSecurity& security);

  // A connection of its own: no proxy, no bound on messages, quick to reconnect. Touches no network: the first call
  // connects. gRPC's threads, once started, stay for the life of the process.
  std::shared_ptr<grpc::Channel> Connect() const;

  // To be called once for every call, before it starts: its deadline, `timeout` from now (none if infinite), and the
  // token.
  void Prepare(grpc::ClientContext& context, absl::Duration timeout) const;

  // `status`, and why, if it says that no connection came about or that the server wants to know who calls. Blocks for
  // seconds, and makes a connection of its own.
  absl::Status Explain(const absl::Status& status) const;

  const std::string& target() const { return target_; }

 private:
  Connector(std::string target, const ChannelSecurity& security, std::unique_ptr<TokenFile> token);

  const std::string target_;
  const ChannelSecurity security_;
  const std::unique_ptr<TokenFile> token_;  // nullptr: none.
  const std::shared_ptr<grpc::ChannelCredentials> credentials_;
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_CHANNEL_H_
