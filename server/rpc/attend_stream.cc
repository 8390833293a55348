#include "server/rpc/attend_stream.h"

#include <iterator>
#include <utility>
#include <vector>

#include "server/rpc/status.h"

namespace flashcore {

AttendStreamReactor* AttendStreamReactor::Start(const RpcServices& services, CallRegistry& registry,
                                                grpc::CallbackServerContext& context, int64_t max_in_flight) {
  auto* reactor = new AttendStreamReactor(services, registry, context, max_in_flight);
  {
    const MutexLock lock(reactor->mutex_);
    reactor->Advance();  // The first read; nothing else is possible yet.
  }
  registry.Add(reactor);
  return reactor;
}

AttendStreamReactor::AttendStreamReactor(const RpcServices& services, CallRegistry& registry,
                                         grpc::CallbackServerContext& context, int64_t max_in_flight)
    : services_(services),
      registry_(registry),
      context_(ReadCallContext(context, services.clock, services.slow_log.enabled())),
      max_in_flight_(static_cast<size_t>(max_in_flight)) {}

void AttendStreamReactor::OnReadDone(bool ok) {
  const CallPtr call = ok ? BeginHandling() : nullptr;
  if (call != nullptr) call->Start(message_, [this, call] { OnAnswer(call); });
  std::optional<grpc::Status> end;
  {
    const MutexLock lock(mutex_);
    reading_ = ok ? Reading::kNo : Reading::kOver;
    end = Advance();
  }
  if (end.has_value()) Finish(*end);
}

AttendStreamReactor::CallPtr AttendStreamReactor::BeginHandling() {
  auto call = std::make_shared<AttendCall>(services_, Method::kAttendStream, context_);
  const MutexLock lock(mutex_);
  if (finished_) return nullptr;
  reading_ = Reading::kHandling;
  unanswered_.insert(call);
  return call;
}

void AttendStreamReactor::OnAnswer(const CallPtr& call) {
  const grpc::ByteBuffer message = call->TakeAnswer();
  bool dropped = false;
  std::optional<grpc::Status> end;
  {
    // One critical section from the answer to Advance: once the answer can be written, the stream can end.
    const MutexLock lock(mutex_);
    dropped = cancelled_;
    if (dropped) {
      unanswered_.erase(call);
    } else {
      answers_.push_back({call, message});
    }
    end = Advance();
  }
  if (dropped) call->Finish(/*delivered=*/false);
  if (end.has_value()) Finish(*end);
}

void AttendStreamReactor::OnWriteDone(bool ok) {
  Answer written;
  std::optional<grpc::Status> end;
  {
    const MutexLock lock(mutex_);
    writing_ = false;
    written = std::move(answers_.front());
    answers_.pop_front();
    unanswered_.erase(written.call);
    if (ok) end = Advance();
  }
  written.call->Finish(ok);
  if (!ok) CancelAll();
  if (end.has_value()) Finish(*end);
}

void AttendStreamReactor::CancelAll() {
  std::vector<CallPtr> computing;
  std::deque<Answer> dropped;
  std::optional<grpc::Status> end;
  {
    const MutexLock lock(mutex_);
    cancelled_ = true;
    const auto first_waiting = answers_.begin() + (writing_ ? 1 : 0);
    dropped.assign(std::make_move_iterator(first_waiting), std::make_move_iterator(answers_.end()));
    answers_.erase(first_waiting, answers_.end());
    for (const Answer& answer : dropped) unanswered_.erase(answer.call);
    computing.assign(unanswered_.begin(), unanswered_.end());
    end = Advance();
  }
  for (const Answer& answer : dropped) answer.call->Finish(/*delivered=*/false);
  if (end.has_value()) Finish(*end);
  for (const CallPtr& call : computing) call->Cancel();
}

void AttendStreamReactor::Drain() {
  std::optional<grpc::Status> end;
  {
    const MutexLock lock(mutex_);
    draining_ = true;
    end = Advance();
  }
  if (end.has_value()) Finish(*end);
}

std::optional<grpc::Status> AttendStreamReactor::Advance() {
  if (finished_) return std::nullopt;
  if (!writing_ && !answers_.empty()) {
    writing_ = true;
    StartWrite(&answers_.front().message);
  }
  std::optional<grpc::Status> end = FinalStatus();
  finished_ = end.has_value();
  const bool may_read = reading_ == Reading::kNo && !finished_ && !cancelled_ && !draining_;
  if (may_read && unanswered_.size() < max_in_flight_) {
    reading_ = Reading::kWaiting;
    StartRead(&message_);
  }
  return end;
}

std::optional<grpc::Status> AttendStreamReactor::FinalStatus() const {
  if (!unanswered_.empty() || writing_ || reading_ == Reading::kHandling) return std::nullopt;
  if (cancelled_) return grpc::Status::CANCELLED;
  if (reading_ == Reading::kOver) return grpc::Status::OK;
  if (draining_) return ToGrpcStatus(absl::UnavailableError("the server is draining"));
  return std::nullopt;
}

void AttendStreamReactor::OnDone() {
  CallRegistry& registry = registry_;
  registry.Remove(this);
  delete this;
}

}  // namespace flashcore
