#include "server/telemetry/metrics_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace flashcore {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// The whole answer to GET `path` on the loopback's `port`.
std::string Get(int port, const std::string& path) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  const std::string request = absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(send(fd, request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  std::string answer;
  char chunk[4096];
  for (ssize_t got = 0; (got = recv(fd, chunk, sizeof(chunk), 0)) > 0;) {
    answer.append(chunk, static_cast<size_t>(got));
  }
  close(fd);
  return answer;
}

// One server for all tests, as stopping it takes seconds.
class MetricsServerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    metrics_ = new Metrics({});
    auto server = MetricsServer::Start("127.0.0.1:0", *metrics_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = server->release();
  }
  static void TearDownTestSuite() {
    delete server_;
    delete metrics_;
  }

  static inline Metrics* metrics_ = nullptr;
  static inline MetricsServer* server_ = nullptr;
};

TEST_F(MetricsServerTest, ServesTheMetricsOnThePortItReports) {
  metrics_->AddLanesBusy(2);
  EXPECT_GT(server_->port(), 0);
  const std::string answer = Get(server_->port(), "/metrics");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answer, HasSubstr("\nflashcore_lanes_busy 2\n"));
}

TEST_F(MetricsServerTest, OtherPathsAreNotFound) {
  EXPECT_THAT(Get(server_->port(), "/etc/passwd"), StartsWith("HTTP/1.1 404"));
}

TEST_F(MetricsServerTest, AnAddressInUseIsAStatus) {
  const std::string address = absl::StrCat("localhost:", server_->port());
  const auto second = MetricsServer::Start(address, *metrics_);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable) << second.status();
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(address));
}

TEST_F(MetricsServerTest, NonsenseIsAStatus) {
  for (const char* address : {"nonsense", "127.0.0.1:99999", "256.1.1.1:0", "127.0.0.1:0s"}) {
    EXPECT_EQ(MetricsServer::Start(address, *metrics_).status().code(), absl::StatusCode::kUnavailable) << address;
  }
}

}  // namespace
}  // namespace flashcore
