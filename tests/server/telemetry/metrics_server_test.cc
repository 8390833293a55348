#include "server/telemetry/metrics_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/telemetry/metrics.h"
#include "server/telemetry/process_metrics.h"
#include "server/telemetry/serving_state.h"
#include "server/telemetry/status_page.h"

namespace flashcore {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// The whole answer to `method` of `path` on the loopback's `port`.
std::string Ask(int port, const std::string& method, const std::string& path) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  const std::string request = absl::StrCat(method, " ", path, " HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(send(fd, request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  std::string answer;
  char chunk[4096];
  for (ssize_t got = 0; (got = recv(fd, chunk, sizeof(chunk), 0)) > 0;) {
    answer.append(chunk, static_cast<size_t>(got));
  }
  close(fd);
  return answer;
}

std::string Get(int port, const std::string& path) { return Ask(port, "GET", path); }

std::vector<std::shared_ptr<prometheus::Collectable>> Collectables(const Metrics& metrics) {
  return {metrics.collectable(), CreateProcessMetrics()};
}

// One server for all tests, as stopping it takes seconds.
class MetricsServerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    metrics_ = new Metrics({});
    state_ = std::make_shared<ServingState>();
    auto server = MetricsServer::Start("127.0.0.1:0", Collectables(*metrics_), state_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = server->release();
  }
  static void TearDownTestSuite() {
    delete server_;
    delete metrics_;
    state_.reset();
  }

  static inline Metrics* metrics_ = nullptr;
  static inline std::shared_ptr<ServingState> state_;
  static inline MetricsServer* server_ = nullptr;
};

TEST_F(MetricsServerTest, ServesTheMetricsOnThePortItReports) {
  metrics_->AddLanesBusy(2);
  EXPECT_GT(server_->port(), 0);
  const std::string answer = Get(server_->port(), "/metrics");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/plain; version=0.0.4"));
  EXPECT_THAT(answer, HasSubstr("\nflashcore_lanes_busy 2\n"));
  EXPECT_THAT(answer, HasSubstr("\nprocess_cpu_seconds_total "));
}

TEST_F(MetricsServerTest, TheProbesFollowThePhase) {
  const struct {
    ServingPhase phase;
    const char* healthy;
    const char* ready;
  } cases[] = {{ServingPhase::kStarting, "HTTP/1.1 200", "HTTP/1.1 503"},
               {ServingPhase::kServing, "HTTP/1.1 200", "HTTP/1.1 200"},
               {ServingPhase::kDraining, "HTTP/1.1 200", "HTTP/1.1 503"},
               {ServingPhase::kFailed, "HTTP/1.1 503", "HTTP/1.1 503"}};
  for (const auto& c : cases) {
    const std::string name(ServingPhaseName(c.phase));
    state_->Set(c.phase);
    EXPECT_THAT(Get(server_->port(), "/healthz"), AllOf(StartsWith(c.healthy), EndsWith(name + "\n"))) << name;
    EXPECT_THAT(Get(server_->port(), "/readyz"), AllOf(StartsWith(c.ready), EndsWith(name + "\n"))) << name;
    EXPECT_THAT(Get(server_->port(), "/metrics"),
                HasSubstr(absl::StrCat("\nflashcore_serving_phase{phase=\"", name, "\"} 1\n")));
  }
}

TEST_F(MetricsServerTest, TheRootIsThePage) {
  const std::string answer = Get(server_->port(), "/");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/html"));
  EXPECT_THAT(answer, EndsWith(std::string(StatusPage())));
}

TEST_F(MetricsServerTest, ThePageNeedsNothingFromElsewhere) {
  for (const char* other : {"http:", "https:", "src=", "@import", "url("}) {
    EXPECT_THAT(std::string(StatusPage()), Not(HasSubstr(other)));
  }
}

TEST_F(MetricsServerTest, HeadHasNoBodyAndOtherMethodsAreRefused) {
  EXPECT_THAT(Ask(server_->port(), "HEAD", "/metrics"), AllOf(StartsWith("HTTP/1.1 200"), EndsWith("\r\n\r\n")));
  EXPECT_THAT(Ask(server_->port(), "POST", "/metrics"), StartsWith("HTTP/1.1 405"));
}

TEST_F(MetricsServerTest, OtherPathsAreNotFound) {
  for (const char* path : {"/etc/passwd", "/metrics/", "/metricsx", "/../metrics/x"}) {
    EXPECT_THAT(Get(server_->port(), path), StartsWith("HTTP/1.1 404")) << path;
  }
}

TEST_F(MetricsServerTest, AnAddressInUseIsAStatus) {
  const std::string address = absl::StrCat("localhost:", server_->port());
  const auto second = MetricsServer::Start(address, Collectables(*metrics_), state_);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable) << second.status();
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(address));
}

TEST_F(MetricsServerTest, NonsenseIsAStatus) {
  for (const char* address : {"nonsense", "127.0.0.1:99999", "256.1.1.1:0", "127.0.0.1:0s"}) {
    EXPECT_EQ(MetricsServer::Start(address, Collectables(*metrics_), state_).status().code(),
              absl::StatusCode::kUnavailable)
        << address;
  }
}

}  // namespace
}  // namespace flashcore
