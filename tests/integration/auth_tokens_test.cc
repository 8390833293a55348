// Who may call a server that wants tokens.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "tests/integration/server_process.h"
#include "tests/integration/tls_client.h"
#include "tests/server/security/scratch_files.h"

namespace flashcore {
namespace {

using testing::BearerToken;
using testing::CallAttend;
using testing::CallAttendStream;
using testing::CallGetServerInfo;
using testing::CallHealth;
using testing::CallMetadata;
using testing::CallReflection;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::ScratchFiles;
using testing::ServerProcess;

constexpr grpc::StatusCode kRefused = grpc::StatusCode::UNAUTHENTICATED;
const std::string kToken = "QwA3bD8yEo5tVw1xJk9sHf2uPz7rLm4c";
const std::string kOther = "n6YgTq0RjXv8aKc3MdZe5WbU1hSoFpL7";

class AuthTokensTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    files_ = new ScratchFiles;
    files_->Write("tokens", absl::StrCat("# ours\nfirst:", kToken, "\n", kOther, "\n"));
    server_ = new ServerProcess({"--backend=cpu", "--auth_tokens_file=" + files_->Path("tokens"),
                                 "--unix_socket=" + files_->Path("socket"), "--health_listen=127.0.0.1:0"});
  }
  static void TearDownTestSuite() {
    server_->Signal(SIGTERM);
    EXPECT_EQ(server_->Wait(), 0);
    delete server_;
    delete files_;
  }

  static inline ScratchFiles* files_ = nullptr;
  static inline ServerProcess* server_ = nullptr;
};

TEST_F(AuthTokensTest, EveryMethodWithAToken) {
  for (const auto& channel : {server_->Connect(), ServerProcess::ConnectTo(server_->unix_address())}) {
    for (const std::string& token : {kToken, kOther}) {
      for (const auto& call : {CallAttend, CallAttendStream, CallGetServerInfo, CallReflection}) {
        const grpc::Status status = call(channel, BearerToken(token));
        EXPECT_TRUE(status.ok()) << status.error_message();
      }
    }
  }
}

TEST_F(AuthTokensTest, EveryMethodWithout) {
  for (const auto& channel : {server_->Connect(), ServerProcess::ConnectTo(server_->unix_address())}) {
    for (const auto& call : {CallAttend, CallAttendStream, CallGetServerInfo, CallReflection}) {
      const grpc::Status status = call(channel, {});
      EXPECT_EQ(status.error_code(), kRefused) << status.error_message();
    }
  }
}

TEST_F(AuthTokensTest, ProbesNeedNone) {
  for (const std::string& address :
       {server_->address(), server_->unix_address(), server_->WaitForLog("health")["address"]}) {
    const auto channel = ServerProcess::ConnectTo(address);
    EXPECT_TRUE(CallHealth(channel).ok()) << address;
    EXPECT_TRUE(CallHealth(channel, BearerToken("wrong")).ok()) << address;
  }
}

// Every way to be wrong, none of which may be told from the others by what it says of tokens.
std::vector<CallMetadata> WrongMetadata() {
  const std::string good = "Bearer " + kToken;
  std::vector<CallMetadata> rows = {
      {},
      {{"authorization", ""}},
      {{"authorization", "Bearer"}},
      {{"authorization", kToken}},
      {{"authorization", "Bearer " + kToken + kOther}},
      {{"authorization", good}, {"authorization", good}},
      {{"authorization", good}, {"authorization", "Bearer wrong"}},
      {{"authorization", "Bearer wrong"}, {"authorization", good}},
      {{"authorization", good}, {"authorization", ""}},
      {{"authorization", "Bearer first:" + kToken}},
      {{"authorization", "Bearer first"}},
      {{"authorization", "Bearer #"}},
      {{"authorization-bin", good}},
      {{"x-authorization", good}},
      {{"proxy-authorization", good}},
      {{"cookie", "authorization=" + good}},
      {{"token", kToken}},
      {{"bearer", kToken}},
      {{"authorization", "Bearer " + absl::AsciiStrToLower(kToken)}},
      {{"authorization", "Bearer " + absl::AsciiStrToUpper(kToken)}},
      {{"authorization", "Bearer " + std::string(4096, 'a')}},
  };
  for (const char* scheme : {"Basic ", "Token ", "Bearer:", "Bearer  ", "Bearer=", "Digest ", "Negotiate ", "XBearer ",
                             "Bearer token=", "Bearer Bearer ", "Bearer,"}) {
    rows.push_back({{"authorization", scheme + kToken}});
  }
  for (const char* tail : {"=", ".", ",", ", Bearer x", "x", "\"", ";"}) {
    rows.push_back({{"authorization", good + tail}});
  }
  for (size_t i = 0; i < kToken.size(); ++i) {
    rows.push_back(BearerToken(kToken.substr(0, i)));
    rows.push_back(BearerToken(kToken.substr(i + 1)));
    for (const char other : {'A', '0', '~'}) {
      std::string flipped = kToken;
      flipped[i] = flipped[i] == other ? 'B' : other;
      rows.push_back(BearerToken(flipped));
    }
  }
  return rows;
}

TEST_F(AuthTokensTest, EverythingElseIsRefused) {
  const auto channel = server_->Connect();
  const std::vector<CallMetadata> rows = WrongMetadata();
  EXPECT_GT(rows.size(), 190u);
  for (const CallMetadata& row : rows) {
    for (const auto& call : {CallGetServerInfo, CallAttend, CallAttendStream}) {
      const grpc::Status status = call(channel, row);
      EXPECT_EQ(status.error_code(), kRefused) << (row.empty() ? "none" : row.front().second);
      EXPECT_THAT(status.error_message(), Not(HasSubstr(kToken.substr(0, 6))));
    }
  }
  EXPECT_TRUE(CallAttend(channel, BearerToken(kToken)).ok());
}

TEST_F(AuthTokensTest, WhatIsTooLargeForMetadata) {
  for (const size_t length : {size_t{16} << 10, size_t{64} << 10, size_t{1} << 20}) {
    EXPECT_FALSE(CallGetServerInfo(server_->Connect(), BearerToken(std::string(length, 'a'))).ok());
  }
  EXPECT_TRUE(CallGetServerInfo(server_->Connect(), BearerToken(kToken)).ok());
}

TEST_F(AuthTokensTest, FailuresAreCounted) {
  const char* const missing = "flashcore_auth_failures_total{reason=\"missing\"}";
  const char* const malformed = "flashcore_auth_failures_total{reason=\"malformed\"}";
  const char* const unknown = "flashcore_auth_failures_total{reason=\"unknown\"}";
  const double before[] = {server_->Metric(missing), server_->Metric(malformed), server_->Metric(unknown)};
  const auto channel = server_->Connect();
  CallAttend(channel, {});
  CallAttend(channel, {{"authorization", "Basic eDp5"}});
  CallAttend(channel, BearerToken("wrong"));
  CallAttend(channel, BearerToken("wrong as well"));
  EXPECT_EQ(server_->Metric(missing), before[0] + 1);
  EXPECT_EQ(server_->Metric(malformed), before[1] + 1);
  EXPECT_EQ(server_->Metric(unknown), before[2] + 2);
  EXPECT_EQ(server_->Metric("flashcore_auth_tokens"), 2);
}

// Whoever is refused has sent nothing that the server would have kept.
TEST_F(AuthTokensTest, RefusedBeforeTheMessage) {
  const double before = server_->Metric("flashcore_received_bytes_total");
  const auto channel = server_->Connect();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(CallAttend(channel, {}).error_code(), kRefused);
  EXPECT_EQ(server_->Metric("flashcore_received_bytes_total"), before);
}

}  // namespace
}  // namespace flashcore
