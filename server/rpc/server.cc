#include "server/rpc/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/rpc/attention_service.h"
#include "server/rpc/buffer_memory.h"
#include "server/rpc/builder_options.h"
#include "server/rpc/copy_helpers.h"
#include "server/rpc/credentials.h"
#include "server/rpc/request_check.h"
#include "server/rpc/wire_types.h"

namespace flashcore {
namespace {

// At the end, for last bytes to leave; what is then still there is cancelled, such as health watchers, which never end
// by themselves.
constexpr absl::Duration kCancelGrace = absl::Milliseconds(100);
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

// `address` with the port that was bound.
std::string BoundAddress(const std::string& address, int port) {
  return absl::StrCat(address.substr(0, address.rfind(':')), ":", port);
}

absl::Status CannotListen(absl::string_view what) {
  return absl::UnavailableError(absl::StrCat("cannot listen on ", what, "; the line msg=grpc above says why"));
}

void SetServing(grpc::Server& server) {
  server.GetHealthCheckService()->SetServingStatus(v1::AttentionService::service_full_name(), true);
}

class GrpcServer final : public RpcServer {
 public:
  GrpcServer(const RpcOptions& options, Scheduler& scheduler, Metrics& metrics, const Clock& clock,
             v1::GetServerInfoResponse info)
      : scheduler_(scheduler),
        slow_log_(options.slow_log_ms * kNsPerMs, clock),
        copy_helpers_(options.copy_helpers, options.copy_poll_ns),
        service_({scheduler, metrics, clock, slow_log_, copy_helpers_}, std::move(info)) {}
  ~GrpcServer() override;

  absl::Status Listen(const RpcOptions& options);
  absl::Status ListenForProbes(const RpcOptions& options);

  const std::vector<std::string>& addresses() const override { return addresses_; }
  const std::string& health_address() const override { return health_address_; }
  void StopServing() override;
  void StartDrain() override;
  bool WaitForCalls(absl::Duration timeout) override { return service_.calls().WaitIdle(timeout); }

 private:
  Scheduler& scheduler_;
  SlowLog slow_log_;
  CopyHelpers copy_helpers_;
  AttentionService service_;
  std::vector<std::string> addresses_;
  std::string health_address_;
  std::vector<std::shared_ptr<grpc::ServerCredentials>> credentials_;  // Of server_'s TCP ports.
  std::unique_ptr<grpc::Server> server_;
  // UNIMPLEMENTED to all; gRPC would not start a server whose only service is the one for health.
  grpc::CallbackGenericService nothing_else_;
  std::unique_ptr<grpc::Server> health_server_;  // None if not asked for.
};

absl::Status GrpcServer::Listen(const RpcOptions& options) {
  KeepFreedMemory(options.grpc_memory_bytes);
  // Switches of the process: every server built from here on has these services.
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  if (!options.reflection) RemoveReflection(builder);
  SetBounds(options, builder);
  SetConnectionHabits(options, builder);
  std::vector<int> ports(options.listen_addresses.size());
  for (size_t i = 0; i < ports.size(); ++i) {
    credentials_.push_back(MakeServerCredentials(options.tls, options.tokens));
    builder.AddListeningPort(options.listen_addresses[i], credentials_.back(), &ports[i]);
  }
  if (!options.unix_socket.empty()) {
    builder.AddListeningPort(absl::StrCat("unix:", options.unix_socket),
                             MakeServerCredentials(/*tls=*/nullptr, options.tokens));
  }
  builder.RegisterService(&service_);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) return CannotListen("every address asked for");
  for (size_t i = 0; i < ports.size(); ++i) {
    addresses_.push_back(BoundAddress(options.listen_addresses[i], ports[i]));
  }
  if (!options.unix_socket.empty()) addresses_.push_back(absl::StrCat("unix:", options.unix_socket));
  SetServing(*server_);
  return absl::OkStatus();
}

absl::Status GrpcServer::ListenForProbes(const RpcOptions& options) {
  if (options.health_listen.empty()) return absl::OkStatus();
  grpc::ServerBuilder builder;
  RemoveReflection(builder);
  SetProbeBounds(builder);
  SetConnectionHabits(options, builder);
  builder.RegisterCallbackGenericService(&nothing_else_);
  int port = 0;
  builder.AddListeningPort(options.health_listen, MakeServerCredentials(/*tls=*/nullptr, /*tokens=*/nullptr), &port);
  health_server_ = builder.BuildAndStart();
  if (health_server_ == nullptr) return CannotListen("--health_listen");
  health_address_ = BoundAddress(options.health_listen, port);
  SetServing(*health_server_);
  return absl::OkStatus();
}

void GrpcServer::StopServing() {
  server_->GetHealthCheckService()->Shutdown();
  if (health_server_ != nullptr) health_server_->GetHealthCheckService()->Shutdown();
}

void GrpcServer::StartDrain() {
  // In this order, whoever has seen NOT_SERVING is never accepted.
  scheduler_.StartDrain();
  StopServing();
  service_.calls().StartDrain();
}

GrpcServer::~GrpcServer() {
  for (grpc::Server* const server : {server_.get(), health_server_.get()}) {
    if (server == nullptr) continue;
    server->Shutdown(absl::ToChronoTime(absl::Now() + kCancelGrace));
    server->Wait();
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(const RpcOptions& options, const ServerFacts& facts,
                                                            const std::vector<DType>& dtypes, Scheduler& scheduler,
                                                            Metrics& metrics, const Clock& clock) {
  auto server = std::make_unique<GrpcServer>(options, scheduler, metrics, clock, Describe(options, facts, dtypes));
  if (absl::Status status = server->Listen(options); !status.ok()) return status;
  if (absl::Status status = server->ListenForProbes(options); !status.ok()) return status;
  return server;
}

}  // namespace flashcore
