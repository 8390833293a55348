// Connections that are ended because they are old.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "flashcore/v1/attention.grpc.pb.h"
#include "grpcpp/client_context.h"
#include "tests/integration/server_process.h"
#include "tests/integration/tls_client.h"

namespace flashcore {
namespace {

using testing::CallAttend;
using testing::ServerProcess;

// Blocks until `channel` has lost its connection. It makes no new one by itself.
void AwaitConnectionsEnd(grpc::Channel& channel) {
  while (channel.GetState(/*try_to_connect=*/false) == GRPC_CHANNEL_READY) {
    channel.WaitForStateChange(GRPC_CHANNEL_READY, std::chrono::system_clock::now() + std::chrono::minutes(1));
  }
}

TEST(TlsConnectionAgeTest, CallsGoOnOverNewConnections) {
  ServerProcess server({"--backend=cpu", "--max_connection_age=1s", "--max_connection_age_grace=1h"});
  const auto channel = server.Connect();
  for (int round = 0; round < 2; ++round) {
    const grpc::Status status = CallAttend(channel);
    EXPECT_TRUE(status.ok()) << status.error_message();
    AwaitConnectionsEnd(*channel);
  }
}

TEST(TlsConnectionAgeTest, StreamsEndAfterTheGrace) {
  ServerProcess server({"--backend=cpu", "--max_connection_age=1s", "--max_connection_age_grace=1s"});
  const auto stub = v1::AttentionService::NewStub(server.Connect());
  grpc::ClientContext context;
  const auto stream = stub->AttendStream(&context);
  v1::AttendStreamResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace flashcore
