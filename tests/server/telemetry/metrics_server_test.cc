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

TEST(MetricsServerTest, ServesTheMetricsOnThePortItReports) {
  Metrics metrics({});
  metrics.AddLanesBusy(2);
  const auto server = MetricsServer::Start("127.0.0.1:0", metrics);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_GT((*server)->port(), 0);
  const std::string answer = Get((*server)->port(), "/metrics");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answer, HasSubstr("\nflashcore_lanes_busy 2\n"));
}

TEST(MetricsServerTest, OtherPathsAreNotFound) {
  const Metrics metrics({});
  const auto server = MetricsServer::Start("localhost:0", metrics);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_THAT(Get((*server)->port(), "/etc/passwd"), StartsWith("HTTP/1.1 404"));
}

TEST(MetricsServerTest, AnAddressInUseIsAStatus) {
  const Metrics metrics({});
  const auto first = MetricsServer::Start("127.0.0.1:0", metrics);
  ASSERT_TRUE(first.ok()) << first.status();
  const std::string address = absl::StrCat("127.0.0.1:", (*first)->port());
  const auto second = MetricsServer::Start(address, metrics);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable) << second.status();
  EXPECT_THAT(second.status().message(), HasSubstr(address));
}

TEST(MetricsServerTest, NonsenseIsAStatus) {
  const Metrics metrics({});
  for (const char* address : {"nonsense", "127.0.0.1:99999", "256.1.1.1:0", "127.0.0.1:0s"}) {
    EXPECT_EQ(MetricsServer::Start(address, metrics).status().code(), absl::StatusCode::kUnavailable) << address;
  }
  EXPECT_EQ(MetricsServer::Start("127.0.0.1:0,127.0.0.1:0", metrics).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace flashcore
