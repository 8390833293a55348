#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/client_callback.h>

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "client/channel.h"
#include "client/load/call_gauge.h"
#include "client/load/grpc_transport.h"
#include "client/load/timer_queue.h"
#include "client/wire.h"
#include "client/wire_types.h"

namespace flashcore {
namespace {

// One call; shared by gRPC and by the timers that may cancel it.
struct UnaryCall {
  explicit UnaryCall(CallGauge& live) : gauge(live) { gauge.Up(); }
  ~UnaryCall() {
    // Before the gauge says that the channels may go.
    context.reset();
    gauge.Down();
  }
  UnaryCall(const UnaryCall&) = delete;
  UnaryCall& operator=(const UnaryCall&) = delete;

  void Cancel() {
    cancelled.store(true, std::memory_order_relaxed);
    context->TryCancel();
  }

  void Finish(const grpc::Status& status) {
    CallOutcome outcome;
    outcome.status = FromGrpc(status, *context);
    outcome.cancelled_by_plan = absl::IsCancelled(outcome.status) && cancelled.load(std::memory_order_relaxed);
    if (outcome.status.ok()) ReadAnswer(outcome);
    response.Clear();
    std::exchange(done, nullptr)(std::move(outcome));
  }

  void ReadAnswer(CallOutcome& outcome) {
    const TensorSpec& q = plan.request->q.spec();
    const bool lse = plan.request->options.return_lse;
    const absl::StatusOr<AnswerSummary> summary = SummarizeAttendResponse(response, q, lse);
    outcome.status = summary.status();
    if (!summary.ok()) return;
    outcome.timing = summary->timing;
    outcome.bytes_received = static_cast<int64_t>(summary->tensor_bytes);
    if (!plan.keep_answer) return;
    absl::StatusOr<AttendResult> answer = ParseAttendResponse(response, q, lse);
    if (answer.ok()) outcome.answer = *std::move(answer);
  }

  CallGauge& gauge;
  std::unique_ptr<grpc::ClientContext> context = std::make_unique<grpc::ClientContext>();
  CallPlan plan;
  Transport::Done done;
  grpc::ByteBuffer response;
  std::atomic<bool> cancelled = false;
};

// A call whose answer is not read at once: until it is, HTTP/2's flow control keeps most of it at the server.
class SlowUnaryReader final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  explicit SlowUnaryReader(std::shared_ptr<UnaryCall> call) : call_(std::move(call)) {}

  // `self` is this; it goes when the call is over.
  static void Start(const std::shared_ptr<SlowUnaryReader>& self, RawStub& stub, const std::string& method,
                    const grpc::ByteBuffer& request, TimerQueue& timers, absl::Duration delay) {
    self->self_ = self;
    stub.PrepareBidiStreamingCall(self->call_->context.get(), method, grpc::StubOptions(), self.get());
    self->StartWriteLast(&request, grpc::WriteOptions());
    // The read that comes later is not part of another operation, so gRPC has to be told to wait for it.
    self->AddHold();
    self->StartCall();
    timers.After(delay, [self] {
      self->StartRead(&self->call_->response);
      self->RemoveHold();
    });
  }

  void OnDone(const grpc::Status& status) override {
    const std::shared_ptr<SlowUnaryReader> self = std::move(self_);
    self->call_->Finish(status);
  }

 private:
  const std::shared_ptr<UnaryCall> call_;
  std::shared_ptr<SlowUnaryReader> self_;
};

class UnaryTransport final : public Transport {
 public:
  UnaryTransport(const TransportOptions& options, std::shared_ptr<const Connector> connector,
                 std::vector<grpc::ByteBuffer> requests)
      : options_(options), connector_(std::move(connector)), requests_(std::move(requests)) {
    for (int i = 0; i < options.channels; ++i) stubs_.push_back(std::make_unique<RawStub>(connector_->Connect()));
  }

  ~UnaryTransport() override {
    timers_.reset();
    live_.WaitUntilZero();
  }

  void Start(const CallPlan& plan, Done done) override {
    const auto call = std::make_shared<UnaryCall>(live_);
    connector_->Prepare(*call->context, options_.timeout);
    call->plan = plan;
    call->done = std::move(done);
    RawStub& stub = *stubs_[next_stub_.fetch_add(1, std::memory_order_relaxed) % stubs_.size()];
    const grpc::ByteBuffer& request = requests_[plan.request->index];
    const std::weak_ptr<UnaryCall> weak = call;
    if (options_.slow_read > absl::ZeroDuration()) {
      SlowUnaryReader::Start(std::make_shared<SlowUnaryReader>(call), stub, method_, request, *timers_,
                             options_.slow_read);
    } else {
      stub.UnaryCall(call->context.get(), method_, grpc::StubOptions(), &request, &call->response,
                     [call](const grpc::Status& status) { call->Finish(status); });
    }
    if (!plan.cancel_after.has_value()) return;
    timers_->After(*plan.cancel_after, [weak] {
      if (const std::shared_ptr<UnaryCall> live = weak.lock(); live != nullptr) live->Cancel();
    });
  }

 private:
  const TransportOptions options_;
  const std::shared_ptr<const Connector> connector_;
  const std::string method_ = kAttendMethod;
  const std::vector<grpc::ByteBuffer> requests_;  // By PreparedRequest::index.
  std::vector<std::unique_ptr<RawStub>> stubs_;   // One for each channel.
  std::atomic<size_t> next_stub_ = 0;
  CallGauge live_;
  std::unique_ptr<TimerQueue> timers_ = std::make_unique<TimerQueue>();
};

}  // namespace

absl::StatusOr<std::unique_ptr<Transport>> MakeUnaryTransport(const TransportOptions& options,
                                                              const Workload& workload) {
  absl::StatusOr<std::shared_ptr<const Connector>> connector = Connector::Create(options.target, options.security);
  if (!connector.ok()) return connector.status();
  std::vector<grpc::ByteBuffer> requests;
  for (const PreparedRequest& request : workload.requests()) {
    absl::StatusOr<grpc::ByteBuffer> encoded =
        EncodeAttendRequest(request.q, request.k, request.v, request.options, request.priority);
    if (!encoded.ok()) return encoded.status();
    requests.push_back(*std::move(encoded));
  }
  return std::make_unique<UnaryTransport>(options, *std::move(connector), std::move(requests));
}

}  // namespace flashcore
