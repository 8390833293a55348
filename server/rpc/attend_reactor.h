// Attend: one request, one answer.
#ifndef FLASHCORE_SERVER_RPC_ATTEND_REACTOR_H_
#define FLASHCORE_SERVER_RPC_ATTEND_REACTOR_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "server/rpc/attend_call.h"
#include "server/rpc/call_registry.h"

namespace flashcore {

// Belongs to gRPC from Start until OnDone, in which it deletes itself.
class AttendReactor final : public grpc::ServerUnaryReactor {
 public:
  // `request` is emptied, so that gRPC's buffers go as soon as the tensors are staged. Everything outlives OnDone.
  static AttendReactor* Start(const RpcServices& services, CallRegistry& registry, grpc::CallbackServerContext& context,
                              grpc::ByteBuffer& request, grpc::ByteBuffer& response);

 private:
  AttendReactor(const RpcServices& services, CallRegistry& registry, grpc::CallbackServerContext& context,
                grpc::ByteBuffer& response);
  void OnAnswer();
  void OnCancel() override { call_.Cancel(); }
  void OnDone() override;
  // gRPC's own switch, by which OnCancel and OnDone run on the thread at hand: both are short and wait for nobody, and
  // otherwise every call would be handed to another thread just to be deleted.
  bool InternalInlineable() override { return true; }

  CallRegistry& registry_;
  grpc::CallbackServerContext& context_;
  grpc::ByteBuffer& response_;
  AttendCall call_;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_ATTEND_REACTOR_H_
