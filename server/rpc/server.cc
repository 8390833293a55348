#include "server/rpc/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/rpc/attention_service.h"
#include "server/rpc/buffer_memory.h"
#include "server/rpc/request_check.h"
#include "server/rpc/wire_types.h"

namespace flashcore {
namespace {

// A client that has gone without a word is noticed after the sum of the two, and its calls are cancelled.
constexpr int kKeepaliveTimeMs = 60'000;
constexpr int kKeepaliveTimeoutMs = 20'000;
// Clients may ping this often, also between calls, before they are told to calm down.
constexpr int kMinClientPingIntervalMs = 10'000;
// At the end, for last bytes to leave; what is then still there is cancelled, such as health watchers, which never end
// by themselves.
constexpr absl::Duration kCancelGrace = absl::Milliseconds(100);
// Threads of the one service that uses gRPC's synchronous API, reflection.
constexpr int kMaxSyncPollers = 2;
constexpr int64_t kNsPerMs = 1'000'000;

v1::GetServerInfoResponse Describe(const RpcOptions& options, const ServerFacts& facts,
                                   const std::vector<DType>& dtypes) {
  v1::GetServerInfoResponse info;
  info.set_version(facts.version);
  info.set_backend(facts.backend);
  info.set_device(facts.device);
  info.set_kernel(facts.kernel);
  for (const DType dtype : dtypes) info.add_dtypes(ToWire(dtype));
  info.set_min_head_dim(kMinHeadDim);
  info.set_max_head_dim(kMaxHeadDim);
  info.set_head_dim_multiple(kHeadDimMultiple);
  v1::Limits& limits = *info.mutable_limits();
  limits.set_max_message_bytes(options.max_message_bytes);
  limits.set_max_queue_length(facts.max_queue_length);
  limits.set_max_bytes_in_flight(facts.max_bytes_in_flight);
  limits.set_max_batch_requests(static_cast<int32_t>(facts.max_batch_requests));
  limits.set_max_batch_bytes(facts.max_batch_bytes);
  limits.set_lanes(static_cast<int32_t>(facts.lanes));
  limits.set_max_stream_in_flight(static_cast<int32_t>(options.max_stream_in_flight));
  return info;
}

void SetBounds(const RpcOptions& options, grpc::ServerBuilder& builder) {
  const auto max_message_bytes = static_cast<int>(options.max_message_bytes);
  builder.SetMaxReceiveMessageSize(max_message_bytes);
  // Answers are bounded by what they answer.
  builder.SetMaxSendMessageSize(-1);
  grpc::ResourceQuota quota("flashcore");
  quota.Resize(static_cast<size_t>(options.grpc_memory_bytes));
  builder.SetResourceQuota(quota);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, static_cast<int>(options.max_concurrent_streams));
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, kMaxSyncPollers);
  // gRPC inflates a compressed message before it checks the size, so that a small one could fill the memory. Floats
  // hardly compress anyway.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
}

void SetConnectionHabits(grpc::ServerBuilder& builder) {
  // Otherwise a second server on the same port would silently take half of the connections.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kMinClientPingIntervalMs);
}

// Takes reflection out of one server: once its library is there, every server of the process gets it.
class WithoutReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments* /*arguments*/) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    const std::string name = grpc::reflection::ProtoServerReflectionPlugin().name();
    const auto is_reflection = [&name](const auto& plugin) { return plugin->name() == name; };
    plugins->erase(std::remove_if(plugins->begin(), plugins->end(), is_reflection), plugins->end());
  }
};

// `address` with the port that was bound.
std::string BoundAddress(const std::string& address, int port) {
  return absl::StrCat(address.substr(0, address.rfind(':')), ":", port);
}

class GrpcServer final : public RpcServer {
 public:
  GrpcServer(Scheduler& scheduler, Metrics& metrics, const Clock& clock, int64_t slow_ns,
             v1::GetServerInfoResponse info)
      : scheduler_(scheduler),
        slow_log_(slow_ns, clock),
        service_({scheduler, metrics, clock, slow_log_}, std::move(info)) {}
  ~GrpcServer() override;

  absl::Status Listen(const RpcOptions& options);

  const std::vector<std::string>& addresses() const override { return addresses_; }
  void StopServing() override { server_->GetHealthCheckService()->Shutdown(); }
  void StartDrain() override;
  bool WaitForCalls(absl::Duration timeout) override { return service_.calls().WaitIdle(timeout); }

 private:
  Scheduler& scheduler_;
  SlowLog slow_log_;
  AttentionService service_;
  std::vector<std::string> addresses_;
  std::unique_ptr<grpc::Server> server_;
};

absl::Status GrpcServer::Listen(const RpcOptions& options) {
  KeepFreedMemory(options.grpc_memory_bytes);
  // Switches of the process: every server built from here on has these services.
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  if (!options.reflection) builder.SetOption(std::make_unique<WithoutReflection>());
  SetBounds(options, builder);
  SetConnectionHabits(builder);
  std::vector<int> ports(options.listen_addresses.size());
  for (size_t i = 0; i < ports.size(); ++i) {
    builder.AddListeningPort(options.listen_addresses[i], grpc::InsecureServerCredentials(), &ports[i]);
  }
  if (!options.unix_socket.empty()) {
    builder.AddListeningPort(absl::StrCat("unix:", options.unix_socket), grpc::InsecureServerCredentials());
  }
  builder.RegisterService(&service_);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) {
    return absl::UnavailableError("cannot listen on every address asked for; gRPC's own log line above says why");
  }
  for (size_t i = 0; i < ports.size(); ++i) {
    addresses_.push_back(BoundAddress(options.listen_addresses[i], ports[i]));
  }
  if (!options.unix_socket.empty()) addresses_.push_back(absl::StrCat("unix:", options.unix_socket));
  server_->GetHealthCheckService()->SetServingStatus(v1::AttentionService::service_full_name(), true);
  return absl::OkStatus();
}

void GrpcServer::StartDrain() {
  // In this order, whoever has seen NOT_SERVING is never accepted.
  scheduler_.StartDrain();
  StopServing();
  service_.calls().StartDrain();
}

GrpcServer::~GrpcServer() {
  if (server_ == nullptr) return;
  server_->Shutdown(absl::ToChronoTime(absl::Now() + kCancelGrace));
  server_->Wait();
}

}  // namespace

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(const RpcOptions& options, const ServerFacts& facts,
                                                            const std::vector<DType>& dtypes, Scheduler& scheduler,
                                                            Metrics& metrics, const Clock& clock) {
  auto server = std::make_unique<GrpcServer>(scheduler, metrics, clock, options.slow_log_ms * kNsPerMs,
                                             Describe(options, facts, dtypes));
  if (absl::Status status = server->Listen(options); !status.ok()) return status;
  return server;
}

}  // namespace flashcore
