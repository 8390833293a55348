// Deadlines, cancellation and full queues, behind a call that keeps the only lane busy.
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "flashcore/v1/attention.grpc.pb.h"
#include "tests/integration/server_process.h"
#include "tests/integration/slow_call.h"
#include "tests/integration/wire_problem.h"

namespace flashcore {
namespace {

using testing::BackgroundCall;
using testing::OccupyLane;
using testing::ProblemSpec;
using testing::ServerProcess;
using testing::ToRequest;

const ProblemSpec kSmall = {.q_len = 4, .kv_len = 8};

// The client's deadline passes a moment before the server's idea of it, which starts when the call arrives. So a call
// that expires is cancelled as often as not before the server sees it expire.
double EndedUnanswered(ServerProcess& server) {
  return server.Metric(R"(flashcore_requests_total{code="DEADLINE_EXCEEDED",method="Attend"})") +
         server.Metric(R"(flashcore_requests_total{code="CANCELLED",method="Attend"})");
}

TEST(LimitsTest, ExpiredCallsLeaveTheQueue) {
  ServerProcess server({"--backend=reference"});
  const auto stub = v1::AttentionService::NewStub(server.Connect());
  const auto blocker = OccupyLane(server);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
  v1::AttendResponse response;
  const grpc::Status status = stub->Attend(&context, ToRequest(kSmall), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED) << status.error_message();
  EXPECT_TRUE(blocker->Join().ok());
  while (EndedUnanswered(server) < 1) std::this_thread::yield();
  EXPECT_EQ(server.Metric("flashcore_batches_total"), 1) << "the expired call was computed";
}

TEST(LimitsTest, CancelledCallsLeaveTheQueue) {
  ServerProcess server({"--backend=reference"});
  const auto blocker = OccupyLane(server);
  BackgroundCall call(server, kSmall);
  server.WaitForMetric("flashcore_queue_length", 1);
  call.Cancel();
  EXPECT_EQ(call.Join().error_code(), grpc::StatusCode::CANCELLED);
  server.WaitForMetric(R"(flashcore_requests_total{code="CANCELLED",method="Attend"})", 1);
  EXPECT_EQ(server.Metric("flashcore_queue_length"), 0);
  EXPECT_TRUE(blocker->Join().ok());
  server.WaitForMetric(R"(flashcore_requests_total{code="OK",method="Attend"})", 1);
  EXPECT_EQ(server.Metric("flashcore_batches_total"), 1) << "the cancelled call was computed";
}

TEST(LimitsTest, AFullQueueSaysWhenToComeBack) {
  ServerProcess server({"--backend=reference", "--max_queue_length=1"});
  const auto stub = v1::AttentionService::NewStub(server.Connect());
  const auto blocker = OccupyLane(server);
  BackgroundCall queued(server, kSmall);
  server.WaitForMetric("flashcore_queue_length", 1);
  {
    grpc::ClientContext context;
    v1::AttendResponse response;
    const grpc::Status status = stub->Attend(&context, ToRequest(kSmall), &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
    const auto& trailers = context.GetServerTrailingMetadata();
    const auto hint = trailers.find("grpc-retry-pushback-ms");
    ASSERT_NE(hint, trailers.end());
    EXPECT_EQ(std::string(hint->second.data(), hint->second.size()), "100");
  }
  {
    grpc::ClientContext context;
    const auto stream = stub->AttendStream(&context);
    v1::AttendStreamRequest request;
    *request.mutable_request() = ToRequest(kSmall);
    EXPECT_TRUE(stream->Write(request));
    v1::AttendStreamResponse response;
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.error().code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_EQ(response.error().retry_after_ms(), 100);
    EXPECT_TRUE(stream->WritesDone());
    EXPECT_TRUE(stream->Finish().ok());
  }
  EXPECT_TRUE(queued.Join().ok());
  EXPECT_TRUE(blocker->Join().ok());
  EXPECT_EQ(server.Metric(R"(flashcore_rejections_total{reason="queue_full"})"), 2);
}

TEST(LimitsTest, FullStagingMemoryTurnsRequestsAway) {
  // Room for the slow call's 8 MiB and one wide call's 7 MiB, not for two of those.
  ServerProcess server(
      {"--backend=reference", "--staging_bytes=20971520", "--max_batch_bytes=20971520", "--max_message_bytes=8388608"});
  const ProblemSpec wide = {.q_len = 1, .kv_len = 7168, .head_dim = 128};
  const auto stub = v1::AttentionService::NewStub(server.Connect());
  const auto blocker = OccupyLane(server);
  BackgroundCall queued(server, wide);
  server.WaitForMetric("flashcore_queue_length", 1);
  grpc::ClientContext context;
  v1::AttendResponse response;
  const grpc::Status status = stub->Attend(&context, ToRequest(wide), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
  EXPECT_TRUE(queued.Join().ok());
  EXPECT_TRUE(blocker->Join().ok());
  EXPECT_EQ(server.Metric(R"(flashcore_rejections_total{reason="memory_full"})"), 1);
  server.WaitForMetricAtMost("flashcore_in_flight_bytes", 0);
}

}  // namespace
}  // namespace flashcore
