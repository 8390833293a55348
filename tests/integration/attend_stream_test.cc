// AttendStream: pipelining, order, bounds, ends.
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "flashcore/v1/attention.grpc.pb.h"
#include "tests/integration/server_process.h"
#include "tests/integration/slow_call.h"
#include "tests/integration/wire_problem.h"

namespace flashcore {
namespace {

using testing::ExpectAnswers;
using testing::ProblemSpec;
using testing::ServerProcess;
using testing::SlowSpec;
using testing::ToRequest;

v1::AttendStreamRequest StreamRequest(uint64_t id, const ProblemSpec& spec) {
  v1::AttendStreamRequest request;
  request.set_id(id);
  *request.mutable_request() = ToRequest(spec);
  return request;
}

ProblemSpec SmallSpec(uint64_t id) {
  return {.num_qo_heads = 2, .q_len = 8 + static_cast<int64_t>(id % 7), .kv_len = 20, .seed = id};
}

using Stream = grpc::ClientReaderWriter<v1::AttendStreamRequest, v1::AttendStreamResponse>;

void WriteSmall(Stream& stream, uint64_t count) {
  for (uint64_t id = 1; id <= count; ++id) EXPECT_TRUE(stream.Write(StreamRequest(id, SmallSpec(id))));
  EXPECT_TRUE(stream.WritesDone());
}

// Every answer until the stream's end.
std::map<uint64_t, v1::AttendResponse> ReadAll(Stream& stream) {
  std::map<uint64_t, v1::AttendResponse> answers;
  v1::AttendStreamResponse response;
  while (stream.Read(&response)) {
    EXPECT_TRUE(response.has_response()) << response.error().message();
    EXPECT_TRUE(answers.emplace(response.id(), response.response()).second) << "id " << response.id() << " twice";
  }
  return answers;
}

TEST(AttendStreamTest, PipelinesAndAnswersEveryRequestOnce) {
  ServerProcess server({"--backend=cpu", "--max_stream_in_flight=4"});
  const auto stub = v1::AttentionService::NewStub(server.Connect());
  grpc::ClientContext context;
  const auto stream = stub->AttendStream(&context);
  constexpr uint64_t kRequests = 60;
  std::thread writer([&stream] { WriteSmall(*stream, kRequests); });
  const std::map<uint64_t, v1::AttendResponse> answers = ReadAll(*stream);
  writer.join();
  EXPECT_TRUE(stream->Finish().ok());
  ASSERT_EQ(answers.size(), kRequests);
  for (const auto& [id, answer] : answers) ExpectAnswers(answer, SmallSpec(id));
  EXPECT_EQ(server.Metric(R"(flashcore_requests_total{code="OK",method="AttendStream"})"), kRequests);
}

TEST(AttendStreamTest, EndsAtOnceIfNothingWasAsked) {
  ServerProcess server({"--backend=cpu"});
  const auto stub = v1::AttentionService::NewStub(server.Connect());
  grpc::ClientContext context;
  const auto stream = stub->AttendStream(&context);
  EXPECT_TRUE(stream->WritesDone());
  v1::AttendStreamResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST(AttendStreamTest, AnswersInTheOrderInWhichTheyFinish) {
  ServerProcess server({"--backend=reference", "--lanes=2"});
  const auto stub = v1::AttentionService::NewStub(server.Connect());
  grpc::ClientContext context;
  const auto stream = stub->AttendStream(&context);
  EXPECT_TRUE(stream->Write(StreamRequest(1, SlowSpec())));
  // Otherwise the two might share a batch, and so finish together.
  server.WaitForMetric("flashcore_lanes_busy", 1);
  EXPECT_TRUE(stream->Write(StreamRequest(2, SmallSpec(2))));
  EXPECT_TRUE(stream->WritesDone());
  v1::AttendStreamResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.id(), 2u);
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.id(), 1u);
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST(AttendStreamTest, ReadsNoMoreThanItsBound) {
  ServerProcess server({"--backend=reference", "--max_stream_in_flight=2"});
  const auto stub = v1::AttentionService::NewStub(server.Connect());
  const auto blocker = testing::OccupyLane(server);
  grpc::ClientContext context;
  const auto stream = stub->AttendStream(&context);
  constexpr uint64_t kRequests = 8;
  WriteSmall(*stream, kRequests);
  // All have been sent and could have gathered behind the slow call; whatever shared a batch was admitted at once.
  const std::map<uint64_t, v1::AttendResponse> answers = ReadAll(*stream);
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_TRUE(blocker->Join().ok());
  EXPECT_EQ(answers.size(), kRequests);
  for (const auto& [id, answer] : answers) EXPECT_LE(answer.timing().batch_size(), 2) << "id " << id;
}

TEST(AttendStreamTest, HoldsNoMoreThanItsBoundForAClientThatNeverReads) {
  constexpr int kBound = 4;
  ServerProcess server({"--backend=passthrough", "--allow_passthrough", "--max_stream_in_flight=4"});
  // Staging memory: 0.75 MiB of inputs until it is computed, 0.25 MiB of output until gRPC has sent it.
  const ProblemSpec spec = {
      .dtype = DType::kFloat16, .num_qo_heads = 8, .q_len = 256, .head_dim = 64, .return_lse = false};
  constexpr double kOutputBytes = 256 * 1024;
  constexpr double kRequestBytes = 4 * kOutputBytes;
  const auto stub = v1::AttentionService::NewStub(server.Connect());
  grpc::ClientContext context;
  const auto stream = stub->AttendStream(&context);
  std::thread writer([&] {
    const v1::AttendStreamRequest request = StreamRequest(1, spec);
    // Far more than the connection's windows hold. Fails when the stream is cancelled.
    for (int i = 0; i < 256 && stream->Write(request); ++i) {
    }
  });
  server.WaitForMetric("flashcore_in_flight_bytes", kBound * kOutputBytes);
  // What another client asks for meanwhile is answered, and gives the stream time to grow beyond its bound.
  const auto neighbour = v1::AttentionService::NewStub(server.Connect());
  for (int i = 0; i < 50; ++i) {
    grpc::ClientContext neighbour_context;
    v1::AttendResponse response;
    EXPECT_TRUE(neighbour->Attend(&neighbour_context, ToRequest(SmallSpec(1)), &response).ok());
    // One more: what gRPC is about to let go of. And the neighbour's own.
    EXPECT_LE(server.Metric("flashcore_in_flight_bytes"), (kBound + 1) * kRequestBytes);
  }
  context.TryCancel();
  writer.join();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  server.WaitForMetricAtMost("flashcore_in_flight_bytes", 0);
}

TEST(AttendStreamTest, LeavesNothingBehindWhenTheClientGoes) {
  ServerProcess server({"--backend=reference"});
  const auto blocker = testing::OccupyLane(server);
  {
    const auto stub = v1::AttentionService::NewStub(server.Connect());
    grpc::ClientContext context;
    const auto stream = stub->AttendStream(&context);
    for (uint64_t id = 1; id <= 5; ++id) EXPECT_TRUE(stream->Write(StreamRequest(id, SmallSpec(id))));
    server.WaitForMetric("flashcore_queue_length", 5);
    context.TryCancel();
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  server.WaitForMetric(R"(flashcore_requests_total{code="CANCELLED",method="AttendStream"})", 5);
  EXPECT_EQ(server.Metric("flashcore_queue_length"), 0);
  EXPECT_TRUE(blocker->Join().ok());
  server.WaitForMetricAtMost("flashcore_in_flight_bytes", 0);
}

}  // namespace
}  // namespace flashcore
