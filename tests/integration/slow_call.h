// A call that keeps the only lane of a server with --backend=reference busy while a test looks at what happens behind
// it.
#ifndef FLASHCORE_TESTS_INTEGRATION_SLOW_CALL_H_
#define FLASHCORE_TESTS_INTEGRATION_SLOW_CALL_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <memory>
#include <thread>

#include "flashcore/v1/attention.grpc.pb.h"
#include "tests/integration/server_process.h"
#include "tests/integration/wire_problem.h"
#include "tests/kernels/harness.h"

namespace flashcore::testing {

// Attend on a thread and a connection of its own.
class BackgroundCall {
 public:
  BackgroundCall(ServerProcess& server, const ProblemSpec& spec)
      : stub_(v1::AttentionService::NewStub(server.Connect())),
        thread_([this, spec] { status_ = stub_->Attend(&context_, ToRequest(spec), &response_); }) {}
  ~BackgroundCall() {
    if (thread_.joinable()) thread_.join();
  }
  BackgroundCall(const BackgroundCall&) = delete;
  BackgroundCall& operator=(const BackgroundCall&) = delete;

  void Cancel() { context_.TryCancel(); }
  // Blocks until it has ended.
  const grpc::Status& Join() {
    thread_.join();
    return status_;
  }
  // After Join.
  const v1::AttendResponse& response() const { return response_; }

 private:
  std::unique_ptr<v1::AttentionService::Stub> stub_;
  grpc::ClientContext context_;
  v1::AttendResponse response_;
  grpc::Status status_;
  std::thread thread_;
};

// Starts SlowSpec() and returns when it is on the lane.
inline std::unique_ptr<BackgroundCall> OccupyLane(ServerProcess& server) {
  auto call = std::make_unique<BackgroundCall>(server, SlowSpec());
  server.WaitForMetric("flashcore_lanes_busy", 1);
  return call;
}

}  // namespace flashcore::testing

#endif  // FLASHCORE_TESTS_INTEGRATION_SLOW_CALL_H_
