#include "client/load/request_stream.h"

#include <utility>

#include "absl/status/statusor.h"
#include "client/wire.h"
#include "client/wire_types.h"

namespace flashcore {

SerializedRequest::SerializedRequest(std::vector<grpc::Slice> slices) {
  // The first place is the prefix's.
  slices_.emplace_back();
  for (grpc::Slice& slice : slices) {
    size_bytes_ += slice.size();
    slices_.push_back(std::move(slice));
  }
}

grpc::ByteBuffer SerializedRequest::WithId(uint64_t id) const {
  std::vector<grpc::Slice> slices = slices_;
  slices.front() = EncodeStreamRequestPrefix(id, size_bytes_);
  return {slices.data(), slices.size()};
}

RequestStream::RequestStream(const RequestStreamOptions& options, std::shared_ptr<RawStub> stub,
                             const std::vector<SerializedRequest>& requests, CallGauge& gauge, TimerQueue& timers)
    : options_(options), requests_(requests), gauge_(gauge), timers_(timers), stub_(std::move(stub)) {
  gauge_.Up();
}

RequestStream::~RequestStream() {
  // Before the gauge says that the channels may go.
  context_.reset();
  stub_.reset();
  gauge_.Down();
}

std::shared_ptr<RequestStream> RequestStream::Open(const RequestStreamOptions& options, const Connector& connector,
                                                   std::shared_ptr<RawStub> stub,
                                                   const std::vector<SerializedRequest>& requests, CallGauge& gauge,
                                                   TimerQueue& timers) {
  std::shared_ptr<RequestStream> stream(new RequestStream(options, std::move(stub), requests, gauge, timers));
  stream->self_ = stream;
  stream->weak_ = stream;
  connector.Prepare(*stream->context_, absl::InfiniteDuration());
  stream->stub_->PrepareBidiStreamingCall(stream->context_.get(), stream->method_, grpc::StubOptions(), stream.get());
  // Writes come from outside of the reactions, so gRPC has to be told that the stream is not over: until Break.
  stream->AddHold();
  stream->StartRead(&stream->reading_);
  stream->StartCall();
  return stream;
}

bool RequestStream::Start(const CallPlan& plan, Transport::Done& done) {
  uint64_t id = 0;
  {
    const MutexLock lock(mutex_);
    if (broken_) return false;
    id = next_id_++;
    calls_.emplace(id, Call{.plan = plan, .done = std::move(done), .started = Clock::now()});
    outbox_.push_back(id);
  }
  WriteNext();
  if (plan.cancel_after.has_value()) {
    timers_.After(*plan.cancel_after, [weak = weak_, id] {
      if (const std::shared_ptr<RequestStream> live = weak.lock(); live != nullptr) live->CancelCall(id);
    });
  }
  return true;
}

bool RequestStream::broken() const {
  const MutexLock lock(mutex_);
  return broken_;
}

void RequestStream::WriteNext() {
  bool half_close = false;
  {
    const MutexLock lock(mutex_);
    if (write_under_way_ || broken_ || half_closed_) return;
    // A call may have expired before it was written.
    while (!outbox_.empty() && !calls_.contains(outbox_.front())) outbox_.pop_front();
    if (!outbox_.empty()) {
      const uint64_t id = outbox_.front();
      outbox_.pop_front();
      writing_ = requests_[calls_.at(id).plan.request->index].WithId(id);
    } else if (half_close_wanted_) {
      half_close = half_closed_ = true;
    } else {
      return;
    }
    write_under_way_ = true;
  }
  if (half_close) {
    StartWritesDone();
  } else {
    StartWrite(&writing_);
  }
}

void RequestStream::OnWriteDone(bool ok) {
  bool over = false;
  {
    const MutexLock lock(mutex_);
    write_under_way_ = false;
    over = broken_;
  }
  if (over) {
    RemoveHold();
  } else if (ok) {
    // A write that failed is a stream that broke, and the read says so too.
    WriteNext();
  }
}

void RequestStream::OnReadDone(bool ok) {
  if (!ok) {
    Break();
    return;
  }
  Answer(reading_);
  reading_.Clear();
  if (options_.slow_read <= absl::ZeroDuration()) {
    StartRead(&reading_);
    return;
  }
  timers_.After(options_.slow_read, [this] { StartRead(&reading_); });
}

void RequestStream::Answer(grpc::ByteBuffer& response) {
  const absl::StatusOr<uint64_t> id = ReadStreamResponseId(response);
  if (!id.ok()) {
    // Whose answer this was cannot be known, so no answer on this stream can be trusted.
    context_->TryCancel();
    return;
  }
  std::optional<Call> call = TakeCall(*id);
  if (!call.has_value()) return;
  const TensorSpec& q = call->plan.request->q.spec();
  const bool lse = call->plan.request->options.return_lse;
  const absl::StatusOr<AnswerSummary> summary = SummarizeStreamResponse(response, q, lse);
  CallOutcome outcome;
  outcome.status = summary.status();
  if (summary.ok()) {
    outcome.timing = summary->timing;
    outcome.bytes_received = static_cast<int64_t>(summary->tensor_bytes);
    if (call->plan.keep_answer) {
      absl::StatusOr<AttendResult> answer = ParseStreamResponse(response, q, lse);
      if (answer.ok()) outcome.answer = *std::move(answer);
    }
  }
  std::exchange(call->done, nullptr)(std::move(outcome));
}

std::optional<RequestStream::Call> RequestStream::TakeCall(uint64_t id) {
  const MutexLock lock(mutex_);
  auto node = calls_.extract(id);
  if (node.empty()) return std::nullopt;
  return std::move(node.mapped());
}

void RequestStream::ExpireOldCalls() {
  const Clock::time_point limit = Clock::now() - absl::ToChronoNanoseconds(options_.timeout);
  std::vector<Call> expired;
  {
    const MutexLock lock(mutex_);
    for (auto it = calls_.begin(); it != calls_.end();) {
      if (it->second.started > limit) {
        ++it;
        continue;
      }
      expired.push_back(std::move(it->second));
      it = calls_.erase(it);
    }
  }
  for (Call& call : expired) {
    CallOutcome outcome;
    outcome.status = absl::DeadlineExceededError("no answer on the stream within the timeout");
    std::exchange(call.done, nullptr)(std::move(outcome));
  }
}

void RequestStream::HalfClose() {
  {
    const MutexLock lock(mutex_);
    half_close_wanted_ = true;
  }
  WriteNext();
}

void RequestStream::Cancel() {
  {
    const MutexLock lock(mutex_);
    cancelled_by_plan_ = true;
  }
  context_->TryCancel();
}

void RequestStream::CancelCall(uint64_t id) {
  {
    const MutexLock lock(mutex_);
    if (!calls_.contains(id)) return;
  }
  Cancel();
}

void RequestStream::Break() {
  bool over = false;
  {
    const MutexLock lock(mutex_);
    broken_ = true;
    // A write that is about to start needs the stream, and ends after this.
    over = !write_under_way_;
  }
  if (over) RemoveHold();
}

void RequestStream::OnDone(const grpc::Status& status) {
  const std::shared_ptr<RequestStream> self = std::move(self_);
  std::unordered_map<uint64_t, Call> calls;
  CallOutcome outcome;
  {
    const MutexLock lock(mutex_);
    calls.swap(calls_);
    outcome.status = FromGrpc(status, *context_);
    outcome.cancelled_by_plan = absl::IsCancelled(outcome.status) && cancelled_by_plan_;
  }
  if (outcome.status.ok()) outcome.status = absl::InternalError("the server ended the stream without an answer");
  for (auto& [id, call] : calls) {
    CallOutcome copy;
    copy.status = outcome.status;
    copy.cancelled_by_plan = outcome.cancelled_by_plan;
    std::exchange(call.done, nullptr)(std::move(copy));
  }
}

}  // namespace flashcore
