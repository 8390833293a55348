// What a client decides about security before it speaks with anybody.
#include "client/security.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "client/target.h"
#include "client/token_file.h"

namespace flashcore {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(TargetTest, HostsAndPorts) {
  const std::vector<std::pair<std::string, std::vector<std::pair<std::string, std::string>>>> cases = {
      {"host:1", {{"host", "1"}}},
      {"host", {{"host", ""}}},
      {"[::1]:2", {{"::1", "2"}}},
      {"::1", {{"::1", ""}}},
      {"dns:host:3", {{"host", "3"}}},
      {"dns:///host:4", {{"host", "4"}}},
      {"dns://8.8.8.8/host:5", {{"host", "5"}}},
      {"ipv4:127.0.0.1:6,10.0.0.1:7", {{"127.0.0.1", "6"}, {"10.0.0.1", "7"}}},
      {"ipv6:[::1]:8", {{"::1", "8"}}},
      {"unix:/a/b", {}},
      {"unix-abstract:a", {}},
      {"xds:///localhost:1", {}},
  };
  for (const auto& [target, expected] : cases) {
    std::vector<std::pair<std::string, std::string>> hosts;
    for (const HostPort& host : HostsOf(target)) hosts.emplace_back(host.host, host.port);
    EXPECT_EQ(hosts, expected) << target;
  }
}

TEST(SecurityTest, ThisMachine) {
  for (const char* target : {"localhost:1", "LOCALHOST:1", "localhost", "127.0.0.1:1", "127.255.0.3:1", "[::1]:1",
                             "::1", "dns:///localhost:1", "dns:127.0.0.1:1", "ipv4:127.0.0.1:1,127.0.0.2:1",
                             "ipv6:[::1]:1", "unix:/a", "unix-abstract:a"}) {
    EXPECT_TRUE(IsThisMachine(target)) << target;
  }
  for (const char* target :
       {"example.org:1", "10.0.0.1:1", "128.0.0.1:1", "0.0.0.0:1", "[::]:1", "[::2]:1", "localhost.example.org:1",
        "127.0.0.1.example.org:1", "127.1:1", "dns:///example.org:1", "dns://127.0.0.1/example.org:1",
        "dns://localhost/10.0.0.1:1", "ipv4:127.0.0.1:1,10.0.0.1:1", "xds:///localhost", "localhost@example.org:1", "",
        ":1", "unix", "xds:localhost:1"}) {
    EXPECT_FALSE(IsThisMachine(target)) << target;
  }
}

TEST(SecurityTest, PlainTextToAnotherMachineHasToBeMeant) {
  const std::string elsewhere = "gpu.example.org:50051";
  EXPECT_TRUE(CheckSecurity("localhost:1", {}).ok());
  EXPECT_TRUE(CheckSecurity("localhost:1", {.auth_token_file = "token"}).ok());
  EXPECT_TRUE(CheckSecurity(elsewhere, {.insecure = true}).ok());
  EXPECT_TRUE(CheckSecurity(elsewhere, {.tls = true, .auth_token_file = "token"}).ok());
  EXPECT_TRUE(CheckSecurity(elsewhere, {.tls = true, .insecure = true}).ok());
  const absl::Status tensors = CheckSecurity(elsewhere, {});
  EXPECT_EQ(tensors.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(tensors.message(),
              AllOf(HasSubstr(elsewhere), HasSubstr("use tls, or insecure"), Not(HasSubstr("token"))));
  EXPECT_THAT(CheckSecurity(elsewhere, {.auth_token_file = "token"}).message(), HasSubstr("the tensors and the token"));
}

TEST(SecurityTest, ContradictionsAreNamed) {
  EXPECT_THAT(CheckSecurity("x:1", {.tls = true, .tls_cert = "c"}).message(), HasSubstr("tls_key: is missing"));
  EXPECT_THAT(CheckSecurity("x:1", {.tls = true, .tls_key = "k"}).message(), HasSubstr("tls_cert: is missing"));
  EXPECT_THAT(CheckSecurity("localhost:1", {.tls_ca = "ca"}).message(), HasSubstr("tls: is off"));
  EXPECT_THAT(CheckSecurity("localhost:1", {.tls_server_name = "n"}).message(), HasSubstr("tls: is off"));
}

class TokenFileTest : public ::testing::Test {
 protected:
  ~TokenFileTest() override { std::remove(path_.c_str()); }

  void Write(const std::string& text) const { std::ofstream(path_) << text; }

  const std::string path_ = testing::TempDir() + "/flashcore_token_file_test";
};

TEST_F(TokenFileTest, OneTokenAndNothingElse) {
  Write("  s3cr3t-._~+/= \r\n");
  EXPECT_EQ(ReadToken(path_).value(), "s3cr3t-._~+/=");
  const std::vector<std::pair<std::string, std::string>> cases = {{"", "is empty"},
                                                                  {"\n \n", "is empty"},
                                                                  {"s3cr3t\ns3cr3t", "one token"},
                                                                  {"s3cr3t s3cr3t", "one token"},
                                                                  {"s3cr3t\x01", "one token"},
                                                                  {"s3cr3t\xc3\xa9", "one token"},
                                                                  {std::string(5000, 's'), "is longer than 4096"}};
  for (const auto& [text, complaint] : cases) {
    Write(text);
    const absl::Status status = ReadToken(path_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(), AllOf(HasSubstr(path_), HasSubstr(complaint), Not(HasSubstr("s3cr3t"))));
  }
  EXPECT_THAT(ReadToken("/nonexistent").status().message(), HasSubstr("cannot be read: No such file"));
  EXPECT_FALSE(ReadToken(testing::TempDir()).ok());
}

TEST_F(TokenFileTest, AReplacedTokenCountsWithinASecond) {
  absl::Time now = absl::UnixEpoch();
  Write("first");
  const std::unique_ptr<TokenFile> file = TokenFile::Open(path_, [&now] { return now; }).value();
  EXPECT_EQ(file->Current(), "first");
  Write("second");
  now += TokenFile::kLookAgainAfter / 2;
  EXPECT_EQ(file->Current(), "first");
  now += TokenFile::kLookAgainAfter / 2;
  EXPECT_EQ(file->Current(), "second");
  Write("");
  now += TokenFile::kLookAgainAfter;
  EXPECT_EQ(file->Current(), "second") << "a file that holds no token leaves the last one in force";
  Write("third");
  EXPECT_EQ(file->Current(), "second");
  now += TokenFile::kLookAgainAfter;
  EXPECT_EQ(file->Current(), "third");
}

}  // namespace
}  // namespace flashcore
