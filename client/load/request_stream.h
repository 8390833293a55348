// One AttendStream: requests go out as fast as the stream takes them, answers come back by id. Internal to the
// transport.
#ifndef FLASHCORE_CLIENT_LOAD_REQUEST_STREAM_H_
#define FLASHCORE_CLIENT_LOAD_REQUEST_STREAM_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/client_callback.h>
#include <grpcpp/support/slice.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/channel.h"
#include "client/load/call_gauge.h"
#include "client/load/timer_queue.h"
#include "client/load/transport.h"
#include "kernels/base/mutex.h"

namespace flashcore {

// An AttendRequest's bytes, which any number of messages may refer to.
class SerializedRequest {
 public:
  explicit SerializedRequest(std::vector<grpc::Slice> slices);

  // The AttendStreamRequest that carries it.
  grpc::ByteBuffer WithId(uint64_t id) const;

 private:
  std::vector<grpc::Slice> slices_;
  size_t size_bytes_ = 0;
};

struct RequestStreamOptions {
  absl::Duration timeout = absl::InfiniteDuration();
  absl::Duration slow_read = absl::ZeroDuration();  // Between an answer and the read of the next.
};

// Thread-safe. Held by gRPC until the stream is over.
class RequestStream final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  // All references must outlive the stream; `gauge` counts it while it lives.
  static std::shared_ptr<RequestStream> Open(const RequestStreamOptions& options, const Connector& connector,
                                             std::shared_ptr<RawStub> stub,
                                             const std::vector<SerializedRequest>& requests, CallGauge& gauge,
                                             TimerQueue& timers);
  ~RequestStream() override;
  RequestStream(const RequestStream&) = delete;
  RequestStream& operator=(const RequestStream&) = delete;

  // As Transport::Start. False, and `done` untouched: the stream is broken.
  bool Start(const CallPlan& plan, Transport::Done& done);
  bool broken() const;

  // Ends the calls that are older than the timeout with DEADLINE_EXCEEDED; what the server still says of them is
  // ignored.
  void ExpireOldCalls();
  // No more calls; the stream ends when the server has answered those under way.
  void HalfClose();
  // Ends the stream, and all calls on it, as if a plan said so.
  void Cancel();

  void OnWriteDone(bool ok) override;
  void OnWritesDoneDone(bool ok) override { OnWriteDone(ok); }
  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

 private:
  using Clock = std::chrono::steady_clock;
  struct Call {
    CallPlan plan;
    Transport::Done done;
    Clock::time_point started;
  };

  RequestStream(const RequestStreamOptions& options, std::shared_ptr<RawStub> stub,
                const std::vector<SerializedRequest>& requests, CallGauge& gauge, TimerQueue& timers);

  // Writes the next request, or the half-close, if there is one and no write is under way.
  void WriteNext();
  void CancelCall(uint64_t id);
  // Takes the call that this answers; nullopt if it has ended already.
  std::optional<Call> TakeCall(uint64_t id);
  void Answer(grpc::ByteBuffer& response);
  // Refuses calls from now on, and lets gRPC end the stream once no write is under way.
  void Break();

  const RequestStreamOptions options_;
  const std::string method_ = kAttendStreamMethod;
  const std::vector<SerializedRequest>& requests_;
  CallGauge& gauge_;
  TimerQueue& timers_;
  std::shared_ptr<RawStub> stub_;
  std::unique_ptr<grpc::ClientContext> context_ = std::make_unique<grpc::ClientContext>();
  std::shared_ptr<RequestStream> self_;  // Until OnDone.
  std::weak_ptr<RequestStream> weak_;
  grpc::ByteBuffer reading_;
  grpc::ByteBuffer writing_;

  mutable Mutex mutex_;
  std::unordered_map<uint64_t, Call> calls_ ABSL_GUARDED_BY(mutex_);
  std::deque<uint64_t> outbox_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 0;
  bool write_under_way_ ABSL_GUARDED_BY(mutex_) = false;
  bool half_close_wanted_ ABSL_GUARDED_BY(mutex_) = false;
  bool half_closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancelled_by_plan_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_REQUEST_STREAM_H_
