#include "client/channel.h"

#include <grpc/grpc.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <chrono>

#include "absl/time/clock.h"

namespace flashcore {
namespace {

// gRPC's own first pause is a second, long for a client that waits for a server next door.
constexpr int kInitialReconnectBackoffMs = 100;
constexpr int kMaxReconnectBackoffMs = 5000;

// Keeps gRPC's own threads for the life of the process. They would otherwise end with the last channel, and that may
// take gRPC 10 seconds: its shutdown joins a thread that can be in a poll of that length.
void KeepGrpcRunning() {
  static const bool running = [] {
    grpc_init();
    return true;
  }();
  static_cast<void>(running);
}

}  // namespace

std::shared_ptr<grpc::Channel> CreateChannel(const std::string& target) {
  KeepGrpcRunning();
  grpc::ChannelArguments arguments;
  // The server bounds its messages; a bound of ours would only be a second one to keep in step.
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  // Without this, channels to one target share one connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kInitialReconnectBackoffMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectBackoffMs);
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
}

void SetDeadline(grpc::ClientContext& context, absl::Duration timeout) {
  if (timeout == absl::InfiniteDuration()) return;
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
}

}  // namespace flashcore
