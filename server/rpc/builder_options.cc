#include "server/rpc/builder_options.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/resource_quota.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace flashcore {
namespace {

// A client that has gone without a word is noticed after the sum of the two, and its calls are cancelled.
constexpr int kKeepaliveTimeMs = 60'000;
constexpr int kKeepaliveTimeoutMs = 20'000;
// Clients may ping this often, also between calls, before they are told to calm down.
constexpr int kMinClientPingIntervalMs = 10'000;
// For TLS and for HTTP/2's first words; whoever connects and says nothing is gone after that.
constexpr int kHandshakeTimeoutMs = 20'000;
// Of all headers of a call: a token and a traceparent take a fraction of it.
constexpr int kMaxMetadataBytes = 8 << 10;
// Threads of the one service that uses gRPC's synchronous API, reflection.
constexpr int kMaxSyncPollers = 2;

// A probe's message is the name of a service.
constexpr int kMaxProbeBytes = 4 << 10;
constexpr size_t kProbeMemoryBytes = size_t{32} << 20;
constexpr int kMaxProbesPerConnection = 16;

void SetMemory(const char* name, size_t bytes, grpc::ServerBuilder& builder) {
  grpc::ResourceQuota quota(name);
  quota.Resize(bytes);
  builder.SetResourceQuota(quota);
}

class WithoutReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments* /*arguments*/) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    const std::string name = grpc::reflection::ProtoServerReflectionPlugin().name();
    const auto is_reflection = [&name](const auto& plugin) { return plugin->name() == name; };
    plugins->erase(std::remove_if(plugins->begin(), plugins->end(), is_reflection), plugins->end());
  }
};

}  // namespace

void SetBounds(const RpcOptions& options, grpc::ServerBuilder& builder) {
  const auto max_message_bytes = static_cast<int>(options.max_message_bytes);
  builder.SetMaxReceiveMessageSize(max_message_bytes);
  // Answers are bounded by what they answer.
  builder.SetMaxSendMessageSize(-1);
  SetMemory("flashcore", static_cast<size_t>(options.grpc_memory_bytes), builder);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, static_cast<int>(options.max_concurrent_streams));
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, kMaxSyncPollers);
  // gRPC inflates a compressed message before it checks the size, so that a small one could fill the memory. Floats
  // hardly compress anyway.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
}

void SetProbeBounds(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxProbeBytes);
  SetMemory("probes", kProbeMemoryBytes, builder);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxProbesPerConnection);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
}

void SetConnectionHabits(const RpcOptions& options, grpc::ServerBuilder& builder) {
  // Otherwise a second server on the same port would silently take half of the connections.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kMinClientPingIntervalMs);
  if (options.max_connection_age == absl::ZeroDuration()) return;
  const auto ms = [](absl::Duration duration) { return static_cast<int>(absl::ToInt64Milliseconds(duration)); };
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, ms(options.max_connection_age));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, ms(options.max_connection_age_grace));
}

void RemoveReflection(grpc::ServerBuilder& builder) { builder.SetOption(std::make_unique<WithoutReflection>()); }

}  // namespace flashcore
