#include "server/rpc/attend_reactor.h"

#include <string>

#include "server/rpc/call_context.h"
#include "server/rpc/status.h"
#include "server/scheduler/retry_hint.h"

namespace flashcore {

AttendReactor* AttendReactor::Start(const RpcServices& services, CallRegistry& registry,
                                    grpc::CallbackServerContext& context, grpc::ByteBuffer& request,
                                    grpc::ByteBuffer& response) {
  auto* reactor = new AttendReactor(services, registry, context, response);
  // The answer may come at once or on another thread; gRPC keeps either for when it has the reactor.
  reactor->call_.Start(request, [reactor] { reactor->OnAnswer(); });
  return reactor;
}

AttendReactor::AttendReactor(const RpcServices& services, CallRegistry& registry, grpc::CallbackServerContext& context,
                             grpc::ByteBuffer& response)
    : registry_(registry),
      context_(context),
      response_(response),
      call_(services, Method::kAttend, ReadCallContext(context, services.clock, services.slow_log.enabled())) {
  registry_.Enter();
}

void AttendReactor::OnAnswer() {
  const absl::Status status = call_.status();
  if (status.ok()) response_ = call_.TakeAnswer();
  if (const int64_t retry_after_ms = RetryAfterMs(status); retry_after_ms > 0) {
    context_.AddTrailingMetadata(kRetryPushbackKey, std::to_string(retry_after_ms));
  }
  Finish(ToGrpcStatus(status));
}

void AttendReactor::OnDone() {
  call_.Finish(/*delivered=*/!context_.IsCancelled());
  CallRegistry& registry = registry_;
  delete this;
  registry.Leave();
}

}  // namespace flashcore
