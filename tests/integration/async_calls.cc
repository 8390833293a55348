#include "tests/integration/async_calls.h"

#include <grpcpp/support/async_unary_call.h>

#include <string>
#include <utility>

#include "absl/strings/numbers.h"

namespace flashcore::testing {

// The tag of a call in the completion queue.
struct AsyncCalls::UnderWay {
  std::shared_ptr<AsyncCall> call;
  std::unique_ptr<grpc::ClientAsyncResponseReader<v1::AttendResponse>> reader;
  OnFinished on_finished;
};

int64_t AsyncCall::RetryAfterMs() const {
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto hint = trailers.find("grpc-retry-pushback-ms");
  int64_t ms = -1;
  if (hint == trailers.end() || !absl::SimpleAtoi(std::string(hint->second.data(), hint->second.size()), &ms))
    return -1;
  return ms;
}

AsyncCalls::AsyncCalls(const std::shared_ptr<grpc::Channel>& channel)
    : stub_(v1::AttentionService::NewStub(channel)), finisher_([this] { FinishCalls(); }) {}

AsyncCalls::~AsyncCalls() {
  AwaitAtMost(0);
  queue_.Shutdown();
  finisher_.join();
}

std::shared_ptr<AsyncCall> AsyncCalls::Start(std::shared_ptr<const v1::AttendRequest> request, OnFinished on_finished) {
  auto call = std::make_shared<AsyncCall>();
  call->request = std::move(request);
  // Held until the tag is the queue's, so that the finisher, and whoever watches locks, sees all that was written
  // before.
  const MutexLock lock(mutex_);
  ++under_way_;
  auto* const under_way = new UnderWay{call, nullptr, std::move(on_finished)};
  under_way->reader = stub_->AsyncAttend(&call->context, *call->request, &queue_);
  under_way->reader->Finish(&call->response, &call->status, under_way);
  return call;
}

void AsyncCalls::FinishCalls() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
    { const MutexLock started(mutex_); }
    const std::unique_ptr<UnderWay> finished(static_cast<UnderWay*>(tag));
    if (finished->on_finished) finished->on_finished(*finished->call);
    const MutexLock lock(mutex_);
    --under_way_;
    fewer_.NotifyAll();
  }
}

void AsyncCalls::AwaitAtMost(size_t under_way) {
  const MutexLock lock(mutex_);
  while (under_way_ > under_way) fewer_.Wait(mutex_);
}

}  // namespace flashcore::testing
