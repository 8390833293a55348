#include "tests/client/fake_server.h"

#include <grpc/grpc.h>
#include <grpcpp/ext/health_check_service_server_builder_option.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/tensor.h"
#include "client/verify/reference_check.h"
#include "client/wire_types.h"
#include "kernels/backends.h"

namespace flashcore {
namespace {

grpc::Status ToGrpc(const absl::Status& status) {
  return {static_cast<grpc::StatusCode>(status.code()), std::string(status.message())};
}

Tensor FromWire(const v1::Tensor& wire) {
  return Tensor::Borrow({.dtype = DTypeFromWire(wire.dtype()).value_or(DType::kFloat16),
                         .shape = {wire.shape().begin(), wire.shape().end()},
                         .layout = LayoutFromWire(wire.layout())},
                        wire.data().data());
}

AttendOptions FromWire(const v1::AttentionOptions& wire) {
  AttendOptions options{.causal = wire.causal(), .logits_soft_cap = wire.logits_soft_cap()};
  if (wire.has_sm_scale()) options.sm_scale = wire.sm_scale();
  if (wire.has_window_left()) options.window_left = wire.window_left();
  if (wire.has_window_right()) options.window_right = wire.window_right();
  return options;
}

grpc::Status Compute(const v1::AttendRequest& request, v1::AttendResponse& response) {
  absl::StatusOr<AttentionProblem> problem =
      ToProblem(FromWire(request.q()), FromWire(request.k()), FromWire(request.v()), FromWire(request.options()));
  if (!problem.ok()) return ToGrpc(problem.status());
  v1::Tensor& o = *response.mutable_o();
  o = request.q();
  problem->o = o.mutable_data()->data();
  if (request.options().return_lse()) {
    v1::Tensor& lse = *response.mutable_lse();
    lse.set_dtype(v1::DTYPE_FP32);
    for (const int64_t dim : {problem->batch, problem->num_qo_heads, problem->q_len}) lse.add_shape(dim);
    lse.mutable_data()->resize(static_cast<size_t>(LseElements(*problem)) * sizeof(float));
    problem->lse = reinterpret_cast<float*>(lse.mutable_data()->data());
  }
  response.mutable_timing()->set_compute_ns(1);
  response.mutable_timing()->set_total_ns(2);
  response.mutable_timing()->set_batch_size(1);
  response.mutable_timing()->set_kernel("fake/reference");
  return ToGrpc(CreateReferenceBackend()->Launch({*problem}, nullptr));
}

}  // namespace

class FakeServer::Service final : public v1::AttentionService::Service {
 public:
  explicit Service(Twist twist) : twist_(std::move(twist)) {}

  grpc::Status Attend(grpc::ServerContext* context, const v1::AttendRequest* request,
                      v1::AttendResponse* response) override {
    const grpc::Status computed = Compute(*request, *response);
    return computed.ok() && twist_ ? twist_(*context, *request, *response) : computed;
  }

  grpc::Status AttendStream(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::AttendStreamResponse, v1::AttendStreamRequest>* stream) override {
    v1::AttendStreamRequest request;
    while (stream->Read(&request)) {
      v1::AttendStreamResponse response;
      response.set_id(request.id());
      const grpc::Status answered = Attend(context, &request.request(), response.mutable_response());
      if (!answered.ok()) {
        response.mutable_error()->set_code(answered.error_code());
        response.mutable_error()->set_message(answered.error_message());
      }
      if (!stream->Write(response)) break;
    }
    return grpc::Status::OK;
  }

  grpc::Status GetServerInfo(grpc::ServerContext* /*context*/, const v1::GetServerInfoRequest* /*request*/,
                             v1::GetServerInfoResponse* response) override {
    response->set_version("1.2.3");
    response->set_backend("reference");
    response->add_dtypes(v1::DTYPE_FP16);
    response->add_dtypes(v1::DTYPE_FP32);
    response->mutable_limits()->set_max_message_bytes(int64_t{1} << 40);
    return grpc::Status::OK;
  }

 private:
  const Twist twist_;
};

FakeServer::FakeServer(Twist twist, const std::string& unix_path,
                       const std::shared_ptr<grpc::ServerCredentials>& credentials)
    : service_(std::make_unique<Service>(std::move(twist))) {
  // Never undone: gRPC would otherwise shut down with each server, which can take it 10 seconds.
  grpc_init();
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  int port = 0;
  const std::string address = unix_path.empty() ? "127.0.0.1:0" : absl::StrCat("unix:", unix_path);
  builder.AddListeningPort(address, credentials, &port);
  builder.SetMaxReceiveMessageSize(-1);
  builder.RegisterService(service_.get());
  server_ = builder.BuildAndStart();
  target_ = unix_path.empty() ? absl::StrCat("127.0.0.1:", port) : address;
}

FakeServer::~FakeServer() { Stop(); }

void FakeServer::SetServing(bool serving) { server_->GetHealthCheckService()->SetServingStatus(serving); }

void FakeServer::Stop() {
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
}

}  // namespace flashcore
