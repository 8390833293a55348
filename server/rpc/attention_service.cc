#include "server/rpc/attention_service.h"

#include <utility>

#include "server/rpc/attend_reactor.h"
#include "server/rpc/attend_stream.h"

namespace flashcore {

AttentionService::AttentionService(const RpcServices& services, v1::GetServerInfoResponse info)
    : services_(services), info_(std::move(info)) {}

grpc::ServerUnaryReactor* AttentionService::Attend(grpc::CallbackServerContext* context,
                                                   const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  // gRPC keeps the request, which is its own and not const, until the call is done. Taking the bytes out frees its
  // buffers when they have been staged, not when the answer has been sent.
  return AttendReactor::Start(services_, calls_, *context, const_cast<grpc::ByteBuffer&>(*request), *response);
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* AttentionService::AttendStream(
    grpc::CallbackServerContext* context) {
  return AttendStreamReactor::Start(services_, calls_, *context, info_.limits().max_stream_in_flight());
}

grpc::ServerUnaryReactor* AttentionService::GetServerInfo(grpc::CallbackServerContext* context,
                                                          const v1::GetServerInfoRequest* /*request*/,
                                                          v1::GetServerInfoResponse* response) {
  const int64_t arrived_ns = services_.clock.NowNs();
  *response = info_;
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  services_.metrics.RecordCall(
      {.method = Method::kGetServerInfo, .stages = {}, .total_ns = services_.clock.NowNs() - arrived_ns});
  return reactor;
}

}  // namespace flashcore
