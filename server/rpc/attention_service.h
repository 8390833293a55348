// flashcore.v1.AttentionService on gRPC's callback API. Attend and AttendStream are raw methods: they see the bytes as
// they came, so that tensors are copied once. Handlers never block.
#ifndef FLASHCORE_SERVER_RPC_ATTENTION_SERVICE_H_
#define FLASHCORE_SERVER_RPC_ATTENTION_SERVICE_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstdint>

#include "flashcore/v1/attention.grpc.pb.h"
#include "flashcore/v1/attention.pb.h"
#include "server/rpc/attend_call.h"
#include "server/rpc/call_registry.h"

namespace flashcore {

using AttentionServiceBase =
    v1::AttentionService::WithRawCallbackMethod_Attend<v1::AttentionService::WithRawCallbackMethod_AttendStream<
        v1::AttentionService::WithCallbackMethod_GetServerInfo<v1::AttentionService::Service>>>;

// Thread-safe. Outlives the grpc::Server that it is registered with.
class AttentionService final : public AttentionServiceBase {
 public:
  // `info` is what GetServerInfo answers; its max_stream_in_flight is kept here.
  AttentionService(const RpcServices& services, v1::GetServerInfoResponse info);

  // Where the drain looks.
  CallRegistry& calls() { return calls_; }

  grpc::ServerUnaryReactor* Attend(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                   grpc::ByteBuffer* response) override;
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* AttendStream(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context, const v1::GetServerInfoRequest* request,
                                          v1::GetServerInfoResponse* response) override;

 private:
  const RpcServices services_;
  const v1::GetServerInfoResponse info_;
  CallRegistry calls_;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_ATTENTION_SERVICE_H_
