// One attention request on its way through the server, whether it came alone or on a stream:
//
//   Start: receive -> admit -> stage -> Scheduler::Submit ... on_answer ... TakeAnswer -> (gRPC sends) -> Finish
//
// The reactor that owns the call keeps it alive until Finish. Nothing here blocks.
#ifndef FLASHCORE_SERVER_RPC_ATTEND_CALL_H_
#define FLASHCORE_SERVER_RPC_ATTEND_CALL_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "kernels/base/mutex.h"
#include "server/rpc/call_context.h"
#include "server/rpc/copy_helpers.h"
#include "server/rpc/request_check.h"
#include "server/rpc/response_writer.h"
#include "server/rpc/wire_reader.h"
#include "server/scheduler/scheduler.h"
#include "server/telemetry/clock.h"
#include "server/telemetry/metrics.h"
#include "server/telemetry/slow_log.h"

namespace flashcore {

// What the handlers work with. Each outlives every call.
struct RpcServices {
  Scheduler& scheduler;
  Metrics& metrics;
  const Clock& clock;
  SlowLog& slow_log;
  CopyHelpers& copy_helpers;
};

class AttendCall {
 public:
  // `method` is kAttend or kAttendStream and says which message Start reads. Made when the complete message is there:
  // the request's time runs from here.
  AttendCall(const RpcServices& services, Method method, CallContext context);
  AttendCall(const AttendCall&) = delete;
  AttendCall& operator=(const AttendCall&) = delete;

  // Once. Empties `message`. `on_answer` runs exactly once, within Start or on another thread, under no lock. Start
  // touches nothing once it has run, so it may end in the call's destruction.
  void Start(grpc::ByteBuffer& message, absl::AnyInvocable<void()> on_answer);

  // Takes the request out of the queue if it is there. Any thread, any time before destruction, also during Start.
  void Cancel();

  // The outcome; from on_answer on. OK, or an error of the contract.
  const absl::Status& status() const { return status_; }
  // The answer as a message: for kAttendStream whatever the outcome, for kAttend only if it is OK. Once, from on_answer
  // on.
  grpc::ByteBuffer TakeAnswer();

  // Records the call in the metrics, and in the log if it was slow. Once, when gRPC is done with the answer.
  // `delivered`: gRPC took all of it.
  void Finish(bool delivered);

 private:
  absl::Status Receive(WireChunks chunks);
  absl::Status Admit();
  void CopyTensors(WireChunks chunks);
  void Answer(const absl::Status& status);
  // Nanoseconds since the last call, or since the arrival.
  int64_t Lap();
  AttendAnswer BuildAnswer();
  void LogSlow();

  const RpcServices services_;
  const Method method_;
  const CallContext context_;
  const int64_t arrived_ns_;
  int64_t lap_ns_;
  int64_t answered_ns_ = 0;
  absl::AnyInvocable<void()> on_answer_;

  uint64_t stream_id_ = 0;
  CheckedRequest checked_;
  std::shared_ptr<Request> request_;
  absl::Status status_;
  CallRecord record_;

  // Of Start with Cancel; the fields above are Start's until the scheduler has the request, and then Answer's.
  Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<Request> cancellable_ ABSL_GUARDED_BY(mutex_);  // From admission on.
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_ATTEND_CALL_H_
