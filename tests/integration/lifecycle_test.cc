// Starting, telling, draining, ending.
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "flashcore/v1/attention.grpc.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/integration/server_process.h"
#include "tests/integration/slow_call.h"
#include "tests/integration/temporary_folder.h"
#include "tests/integration/wire_problem.h"

namespace flashcore {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using testing::OccupyLane;
using testing::ProblemSpec;
using testing::ServerProcess;
using testing::SlowSpec;
using testing::TemporaryFolder;
using testing::ToRequest;

const ProblemSpec kSmall = {.q_len = 4, .kv_len = 8};
constexpr char kServiceName[] = "flashcore.v1.AttentionService";

grpc::Status Attend(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::ClientContext context;
  v1::AttendResponse response;
  grpc::Status status = v1::AttentionService::NewStub(channel)->Attend(&context, ToRequest(kSmall), &response);
  if (status.ok()) testing::ExpectAnswers(response, kSmall);
  return status;
}

HealthCheckResponse::ServingStatus CheckHealth(const std::shared_ptr<grpc::Channel>& channel,
                                               const std::string& service) {
  grpc::ClientContext context;
  HealthCheckRequest request;
  request.set_service(service);
  HealthCheckResponse response;
  EXPECT_TRUE(Health::NewStub(channel)->Check(&context, request, &response).ok());
  return response.status();
}

// What the reflection service answers to `request`, the bytes of one ServerReflectionRequest.
std::string Reflect(const std::shared_ptr<grpc::Channel>& channel, const std::string& request, grpc::Status& status) {
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  grpc::GenericStub stub(channel);
  void* tag = nullptr;
  bool ok = false;
  const auto stream =
      stub.PrepareCall(&context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  const auto wait = [&] { return queue.Next(&tag, &ok) && ok; };
  stream->StartCall(nullptr);
  wait();
  const grpc::Slice slice(request);
  stream->Write(grpc::ByteBuffer(&slice, 1), nullptr);
  wait();
  grpc::ByteBuffer answer;
  stream->Read(&answer, nullptr);
  std::string text;
  grpc::Slice flat;
  if (wait() && answer.DumpToSingleSlice(&flat).ok()) {
    text.assign(reinterpret_cast<const char*>(flat.begin()), flat.size());
  }
  stream->WritesDone(nullptr);
  wait();
  stream->Finish(&status, nullptr);
  wait();
  return text;
}

TEST(LifecycleTest, HealthSaysServing) {
  ServerProcess server({"--backend=cpu"});
  EXPECT_EQ(CheckHealth(server.Connect(), ""), HealthCheckResponse::SERVING);
  EXPECT_EQ(CheckHealth(server.Connect(), kServiceName), HealthCheckResponse::SERVING);
}

TEST(LifecycleTest, ReflectionListsTheServiceAndItsFile) {
  ServerProcess server({"--backend=cpu"});
  grpc::Status status;
  // Field 7, list_services, with nothing in it.
  const std::string list = Reflect(server.Connect(), std::string("\x3a\x00", 2), status);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(absl::StrContains(list, kServiceName));
  EXPECT_TRUE(absl::StrContains(list, "grpc.health.v1.Health"));
  // Field 4, file_containing_symbol.
  const std::string file = Reflect(server.Connect(), absl::StrCat("\x22\x1d", kServiceName), status);
  EXPECT_TRUE(absl::StrContains(file, "flashcore/v1/attention.proto"));
  EXPECT_TRUE(absl::StrContains(file, "logits_soft_cap"));
}

TEST(LifecycleTest, ReflectionCanBeTurnedOff) {
  ServerProcess server({"--backend=cpu", "--noreflection"});
  grpc::Status status;
  Reflect(server.Connect(), std::string("\x3a\x00", 2), status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST(LifecycleTest, ServesOnAUnixSocket) {
  const TemporaryFolder folder;
  const std::string path = folder / "socket";
  ServerProcess server({"--backend=cpu", absl::StrCat("--unix_socket=", path)});
  EXPECT_EQ(server.unix_address(), absl::StrCat("unix:", path));
  EXPECT_TRUE(Attend(ServerProcess::ConnectTo(server.unix_address())).ok());
  EXPECT_TRUE(Attend(server.Connect()).ok());
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0);
  EXPECT_NE(access(path.c_str(), F_OK), 0) << "the socket is left behind";
}

TEST(LifecycleTest, MetricsCountWhatHappened) {
  ServerProcess server({"--backend=cpu"});
  const auto channel = server.Connect();
  EXPECT_EQ(server.Metric(R"(flashcore_requests_total{code="OK",method="Attend"})"), 0);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Attend(channel).ok());
  server.WaitForMetric(R"(flashcore_requests_total{code="OK",method="Attend"})", 3);
  EXPECT_EQ(server.Metric(R"(flashcore_request_duration_seconds_count{method="Attend"})"), 3);
  for (const char* stage : {"receive", "admit", "stage", "queue", "compute", "send"}) {
    EXPECT_EQ(server.Metric(absl::StrCat("flashcore_stage_duration_seconds_count{stage=\"", stage, "\"}")), 3) << stage;
  }
  // Q 4 x 64, K and V 8 x 64, O 4 x 64 and LSE 4, all of four bytes.
  EXPECT_EQ(server.Metric("flashcore_received_bytes_total"), 3 * (4 + 8 + 8) * 64 * 4);
  EXPECT_EQ(server.Metric("flashcore_sent_bytes_total"), 3 * (4 * 64 + 4) * 4);
  server.WaitForMetricAtMost("flashcore_in_flight_bytes", 0);
  EXPECT_EQ(server.Metric("flashcore_requests_in_flight"), 0);
  EXPECT_TRUE(absl::StrContains(server.Get("/metrics"), "flashcore_build_info"));
}

TEST(LifecycleTest, SigtermFinishesWhatWasAccepted) {
  ServerProcess server({"--backend=reference"});
  const auto channel = server.Connect();
  // Someone who watches, and so never hangs up.
  grpc::ClientContext watch_context;
  const auto watch = Health::NewStub(channel)->Watch(&watch_context, HealthCheckRequest());
  HealthCheckResponse health;
  ASSERT_TRUE(watch->Read(&health));
  EXPECT_EQ(health.status(), HealthCheckResponse::SERVING);

  const auto accepted = OccupyLane(server);
  server.Signal(SIGTERM);
  ASSERT_TRUE(watch->Read(&health));
  EXPECT_EQ(health.status(), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(CheckHealth(channel, kServiceName), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Attend(channel).error_code(), grpc::StatusCode::UNAVAILABLE);

  EXPECT_TRUE(accepted->Join().ok()) << accepted->response().timing().ShortDebugString();
  testing::ExpectAnswers(accepted->response(), SlowSpec());
  EXPECT_EQ(server.Wait(), 0);
  EXPECT_EQ(Attend(channel).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST(LifecycleTest, SigintDrainsAnIdleServer) {
  ServerProcess server({"--backend=cpu"});
  server.Signal(SIGINT);
  EXPECT_EQ(server.Wait(), 0);
}

TEST(LifecycleTest, OpenStreamsEndWhenTheServerDrains) {
  ServerProcess server({"--backend=cpu"});
  const auto stub = v1::AttentionService::NewStub(server.Connect());
  grpc::ClientContext context;
  const auto stream = stub->AttendStream(&context);
  v1::AttendStreamRequest request;
  *request.mutable_request() = ToRequest(kSmall);
  EXPECT_TRUE(stream->Write(request));
  v1::AttendStreamResponse response;
  EXPECT_TRUE(stream->Read(&response));
  server.Signal(SIGTERM);
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(server.Wait(), 0);
}

TEST(LifecycleTest, ADrainDoesNotWaitBeyondItsTimeout) {
  ServerProcess server({"--backend=reference", "--drain_timeout=0s"});
  const auto accepted = OccupyLane(server);
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), EXIT_FAILURE);
  EXPECT_FALSE(accepted->Join().ok());
}

TEST(LifecycleTest, ASecondSignalEndsAtOnce) {
  ServerProcess server({"--backend=reference"});
  const auto accepted = OccupyLane(server);
  server.Signal(SIGTERM);
  EXPECT_FALSE(server.WaitForLog("draining").empty());
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 128 + SIGTERM);
  EXPECT_FALSE(accepted->Join().ok());
}

TEST(LifecycleTest, TwoServersDoNotShareAPort) {
  ServerProcess server({"--backend=cpu"});
  const testing::Finished second =
      testing::RunServerBinary({"--backend=cpu", absl::StrCat("--listen=", server.address()), "--metrics_address="});
  EXPECT_EQ(second.exit_status, EXIT_FAILURE);
  EXPECT_TRUE(absl::StrContains(second.output, "cannot listen")) << second.output;
}

TEST(LifecycleTest, SaysItsVersionAndItsFlags) {
  const testing::Finished version = testing::RunServerBinary({"--version"});
  EXPECT_EQ(version.exit_status, 0);
  EXPECT_TRUE(absl::StartsWith(version.output, "flashcore_server ")) << version.output;
  const testing::Finished help = testing::RunServerBinary({"--help"});
  for (const char* text : {"--listen", "--drain_timeout", "SIGTERM", "Exit status"}) {
    EXPECT_TRUE(absl::StrContains(help.output, text)) << text;
  }
  EXPECT_FALSE(absl::StrContains(help.output, "--undefok")) << "flags of the libraries";
}

TEST(LifecycleTest, NamesTheFlagThatIsWrong) {
  const testing::Finished bad = testing::RunServerBinary({"--max_stream_in_flight=0"});
  EXPECT_EQ(bad.exit_status, EXIT_FAILURE);
  EXPECT_TRUE(absl::StrContains(bad.output, "--max_stream_in_flight")) << bad.output;
}

}  // namespace
}  // namespace flashcore
