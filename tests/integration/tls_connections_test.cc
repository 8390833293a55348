// Connections that are old, and connections that are too many.
#include <arpa/inet.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "flashcore/v1/attention.grpc.pb.h"
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

TEST(TlsConnectionsTest, CallsGoOnOverNewConnections) {
  ServerProcess server({"--backend=cpu", "--max_connection_age=1s", "--max_connection_age_grace=1h"});
  const auto channel = server.Connect();
  for (int round = 0; round < 2; ++round) {
    const grpc::Status status = CallAttend(channel);
    EXPECT_TRUE(status.ok()) << status.error_message();
    AwaitConnectionsEnd(*channel);
  }
}

TEST(TlsConnectionsTest, StreamsEndAfterTheGrace) {
  ServerProcess server({"--backend=cpu", "--max_connection_age=1s", "--max_connection_age_grace=1s"});
  const auto stub = v1::AttentionService::NewStub(server.Connect());
  grpc::ClientContext context;
  const auto stream = stub->AttendStream(&context);
  v1::AttendStreamResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

// Connects and says nothing.
int ConnectSilently(const std::string& address) {
  int port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port));
  const int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in peer = {};
  peer.sin_family = AF_INET;
  peer.sin_port = htons(static_cast<uint16_t>(port));
  peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int connected = connect(connection, reinterpret_cast<const sockaddr*>(&peer), sizeof(peer));
  // Under way is enough.
  EXPECT_TRUE(connected == 0 || errno == EINPROGRESS) << std::strerror(errno);
  return connection;
}

TEST(TlsConnectionsTest, MayHaveAsManyFilesOpenAsTheSystemAllows) {
  rlimit limit = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  ServerProcess server({"--backend=cpu"});
  EXPECT_EQ(server.Metric("process_max_fds"), static_cast<double>(limit.rlim_max));
}

// gRPC would never accept again, so that only a new process helps.
TEST(TlsConnectionsTest, AServerThatCannotAcceptEnds) {
  constexpr int kSpareFiles = 16;
  ServerProcess server({"--backend=cpu"});
  const auto files = static_cast<rlim_t>(server.Metric("process_open_fds")) + kSpareFiles;
  const rlimit limit = {.rlim_cur = files, .rlim_max = files};
  ASSERT_EQ(prlimit(server.pid(), RLIMIT_NOFILE, &limit, nullptr), 0);
  std::vector<int> connections;
  for (int i = 0; i < 4 * kSpareFiles; ++i) connections.push_back(ConnectSilently(server.address()));
  EXPECT_EQ(server.Wait(), 1);
  EXPECT_FALSE(server.WaitForLog("failed").empty());
  for (const int connection : connections) close(connection);
}

}  // namespace
}  // namespace flashcore
