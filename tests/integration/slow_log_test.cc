// --slow_log_ms: a line for a slow request, with what its caller said of the trace.
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "flashcore/v1/attention.grpc.pb.h"
#include "server/telemetry/stage.h"
#include "tests/integration/server_process.h"
#include "tests/integration/wire_problem.h"

namespace flashcore {
namespace {

using testing::LogLine;
using testing::ServerProcess;
using testing::SlowSpec;
using testing::ToRequest;

constexpr char kTraceparent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

int64_t Number(LogLine line, const std::string& key) {
  int64_t value = -1;
  EXPECT_TRUE(absl::SimpleAtoi(line[key], &value)) << key << "=" << line[key];
  return value;
}

grpc::Status AttendSlowly(ServerProcess& server, const std::string& traceparent) {
  grpc::ClientContext context;
  context.AddMetadata("traceparent", traceparent);
  v1::AttendResponse response;
  return v1::AttentionService::NewStub(server.Connect())->Attend(&context, ToRequest(SlowSpec()), &response);
}

TEST(SlowLogTest, TellsTheStagesAndTheTrace) {
  ServerProcess server({"--backend=reference", "--slow_log_ms=1"});
  ASSERT_TRUE(AttendSlowly(server, kTraceparent).ok());
  const LogLine line = server.WaitForLog("slow_request");
  EXPECT_EQ(LogLine(line)["method"], "Attend");
  EXPECT_EQ(LogLine(line)["code"], "OK");
  EXPECT_EQ(LogLine(line)["traceparent"], kTraceparent);
  EXPECT_EQ(Number(line, "batch_requests"), 1);
  int64_t sum_us = 0;
  for (const absl::string_view stage : kStageNames) sum_us += Number(line, absl::StrCat(stage, "_us"));
  EXPECT_GE(Number(line, "total_us"), 1000);
  EXPECT_LE(sum_us, Number(line, "total_us"));
  EXPECT_GT(Number(line, "compute_us"), 0);
}

TEST(SlowLogTest, AMalformedTraceparentIsNotRepeated) {
  ServerProcess server({"--backend=reference", "--slow_log_ms=1"});
  ASSERT_TRUE(AttendSlowly(server, "00-not-a-trace").ok());
  LogLine line = server.WaitForLog("slow_request");
  ASSERT_TRUE(line.contains("traceparent"));
  EXPECT_EQ(line["traceparent"], R"("")");
}

}  // namespace
}  // namespace flashcore
