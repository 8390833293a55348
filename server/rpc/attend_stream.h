// AttendStream: requests pipelined on one stream, answered in the order in which they finish.
//
//   reads ---> at most max_in_flight unanswered calls ---> answers, written one at a time
//
// At the bound nothing is read until an answer has left, so that HTTP/2 flow control stops a client that does not read.
// The stream ends after its last answer once the client has half-closed (OK), has gone away (CANCELLED) or the server
// drains (UNAVAILABLE; whatever was read is answered first).
#ifndef FLASHCORE_SERVER_RPC_ATTEND_STREAM_H_
#define FLASHCORE_SERVER_RPC_ATTEND_STREAM_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <unordered_set>

#include "kernels/base/mutex.h"
#include "server/rpc/attend_call.h"
#include "server/rpc/call_context.h"
#include "server/rpc/call_registry.h"

namespace flashcore {

// Belongs to gRPC from Start until OnDone, in which it deletes itself.
class AttendStreamReactor final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                                  public DrainableCall {
 public:
  // Everything outlives OnDone.
  static AttendStreamReactor* Start(const RpcServices& services, CallRegistry& registry,
                                    grpc::CallbackServerContext& context, int64_t max_in_flight);

  void Drain() override;

 private:
  using CallPtr = std::shared_ptr<AttendCall>;
  struct Answer {
    CallPtr call;
    grpc::ByteBuffer message;
  };
  enum class Reading : uint8_t { kNo, kWaiting, kHandling, kOver };

  AttendStreamReactor(const RpcServices& services, CallRegistry& registry, grpc::CallbackServerContext& context,
                      int64_t max_in_flight);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override { CancelAll(); }
  void OnDone() override;

  // Makes a call for the message just read; nullptr if the stream is over.
  CallPtr BeginHandling();
  void OnAnswer(const CallPtr& call);
  void CancelAll();
  // Starts the reads and writes that the state allows now. The status to finish with if the stream is over: the caller
  // does so after unlocking. Without one it touches nothing any more: another thread may finish the stream at once.
  std::optional<grpc::Status> Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::optional<grpc::Status> FinalStatus() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const RpcServices services_;
  CallRegistry& registry_;
  const CallContext context_;
  const size_t max_in_flight_;
  grpc::ByteBuffer message_;  // gRPC's while kWaiting, the handler's while kHandling.

  Mutex mutex_;
  Reading reading_ ABSL_GUARDED_BY(mutex_) = Reading::kNo;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;  // The front of answers_.
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::unordered_set<CallPtr> unanswered_ ABSL_GUARDED_BY(mutex_);  // Until their answer has been written.
  std::deque<Answer> answers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_ATTEND_STREAM_H_
