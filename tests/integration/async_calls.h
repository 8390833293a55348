// Many unary calls at once on one connection, without a thread for each.
//
// On a completion queue, not on the callback API: where channels come and go, the threads behind that API in gRPC 1.51
// now and then end with a failed assertion (prior > 0, in ref_counted.h).
#ifndef FLASHCORE_TESTS_INTEGRATION_ASYNC_CALLS_H_
#define FLASHCORE_TESTS_INTEGRATION_ASYNC_CALLS_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/support/status.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <thread>

#include "flashcore/v1/attention.grpc.pb.h"
#include "kernels/base/mutex.h"

namespace flashcore::testing {

// One call. Thread-safe but for the results, which are there once it has finished.
struct AsyncCall {
  grpc::ClientContext context;
  std::shared_ptr<const v1::AttendRequest> request;
  v1::AttendResponse response;
  grpc::Status status;

  bool ok() const { return status.ok(); }
  // The server's hint in milliseconds; -1 if there is none.
  int64_t RetryAfterMs() const;
};

// Thread-safe.
class AsyncCalls {
 public:
  // On the thread of these calls; must not block.
  using OnFinished = std::function<void(const AsyncCall&)>;

  explicit AsyncCalls(const std::shared_ptr<grpc::Channel>& channel);
  // Waits.
  ~AsyncCalls();
  AsyncCalls(const AsyncCalls&) = delete;
  AsyncCalls& operator=(const AsyncCalls&) = delete;

  // Never blocks. The call may be kept, to look at it or to cancel it.
  std::shared_ptr<AsyncCall> Start(std::shared_ptr<const v1::AttendRequest> request, OnFinished on_finished = nullptr);

  // Blocks until at most so many are under way.
  void AwaitAtMost(size_t under_way);

 private:
  struct UnderWay;

  void FinishCalls();

  const std::unique_ptr<v1::AttentionService::Stub> stub_;
  Mutex mutex_;
  CondVar fewer_;
  size_t under_way_ ABSL_GUARDED_BY(mutex_) = 0;
  grpc::CompletionQueue queue_;
  std::thread finisher_;
};

}  // namespace flashcore::testing

#endif  // FLASHCORE_TESTS_INTEGRATION_ASYNC_CALLS_H_
