#include "server/config/security_options.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/config/config.h"
#include "tests/server/config/scoped_flags.h"

namespace flashcore {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::ScopedFlags;
using ::testing::StartsWith;

TEST(SecurityOptionsTest, EveryFlagArrives) {
  ScopedFlags flags;
  const std::pair<const char*, const char*> values[] = {
      {"tls_cert", "/etc/c.pem"},   {"tls_key", "/etc/k.pem"},          {"tls_client_ca", "/etc/ca"},
      {"tls_reload_period", "3s"},  {"auth_tokens_file", "/etc/t"},     {"insecure", "true"},
      {"max_connection_age", "1h"}, {"max_connection_age_grace", "5s"}, {"health_listen", "0.0.0.0:2"},
  };
  for (const auto& [name, value] : values) flags.Set(name, value);
  const absl::StatusOr<ServerOptions> options = ServerOptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  const SecurityOptions& security = options->security;
  EXPECT_EQ(security.tls.cert, "/etc/c.pem");
  EXPECT_EQ(security.tls.key, "/etc/k.pem");
  EXPECT_EQ(security.tls.client_ca, "/etc/ca");
  EXPECT_EQ(security.reload_period, absl::Seconds(3));
  EXPECT_EQ(security.auth_tokens_file, "/etc/t");
  EXPECT_TRUE(security.insecure);
  EXPECT_EQ(security.health_listen, "0.0.0.0:2");
  EXPECT_EQ(security.max_connection_age, absl::Hours(1));
  EXPECT_EQ(security.max_connection_age_grace, absl::Seconds(5));
}

TEST(SecurityOptionsTest, ABadFlagIsNamedWithWhatItNeeds) {
  struct Row {
    const char* name;
    const char* value;
    const char* expected;  // In the message, after the flag's name.
  };
  const Row rows[] = {{"listen", "0.0.0.0:1", "--insecure"},
                      {"tls_key", "k.pem", "--tls_cert"},
                      {"tls_cert", "c.pem", "--tls_key"},
                      {"tls_client_ca", "ca.pem", "--tls_cert and --tls_key"},
                      {"tls_reload_period", "99ms", "from 100ms to 1h"},
                      {"tls_reload_period", "61m", "from 100ms to 1h"},
                      {"health_listen", "50052", "host:port"},
                      {"max_connection_age", "999ms", "from 1s to 480h"},
                      {"max_connection_age", "481h", "from 1s to 480h"},
                      {"max_connection_age_grace", "-1s", "from 0s to 480h"}};
  for (const Row& row : rows) {
    ScopedFlags flags;
    flags.Set(row.name, row.value);
    const absl::Status status = ServerOptionsFromFlags().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << row.name << "=" << row.value;
    EXPECT_THAT(std::string(status.message()),
                AllOf(StartsWith(absl::StrCat("--", row.name, ": ")), HasSubstr(row.expected)));
  }
}

TEST(SecurityOptionsTest, LoopbackIsWhatCannotBeReachedFromOutside) {
  for (const char* host : {"127.0.0.1", "127.0.0.0", "127.255.255.255", "localhost", "LocalHost", "[::1]",
                           "[0:0:0:0:0:0:0:1]", "[0000::0001]"}) {
    EXPECT_TRUE(IsLoopback(absl::StrCat(host, ":50051"))) << host;
  }
  // What cannot be told is not: names other than the one, and spellings that only some resolvers know.
  for (const char* host : {"0.0.0.0",
                           "[::]",
                           "10.0.0.1",
                           "126.255.255.255",
                           "128.0.0.1",
                           "169.254.169.254",
                           "192.168.127.1",
                           "1.0.0.127",
                           "127.1",
                           "2130706433",
                           "0x7f000001",
                           "0177.0.0.1",
                           "127.0.0.1.example.com",
                           "localhost.example.com",
                           "xlocalhost",
                           "localhost.",
                           "[::2]",
                           "[fe80::1]",
                           "[::ffff:127.0.0.1]",
                           "[::ffff:10.0.0.1]",
                           "[::1%lo]",
                           "[127.0.0.1]",
                           "::1",
                           "[]",
                           "*",
                           "",
                           " 127.0.0.1",
                           "unix",
                           "dns"}) {
    EXPECT_FALSE(IsLoopback(absl::StrCat(host, ":50051"))) << host;
  }
}

struct PolicyRow {
  std::vector<std::string> listen;
  bool tls;
  bool tokens;
  bool insecure;
  bool allowed;
};

SecurityOptions ToOptions(const PolicyRow& row) {
  SecurityOptions options;
  if (row.tls) options.tls = {.cert = "c", .key = "k", .client_ca = ""};
  if (row.tokens) options.auth_tokens_file = "t";
  options.insecure = row.insecure;
  return options;
}

TEST(SecurityOptionsTest, PlaintextLeavesTheMachineOnlyIfToldTo) {
  const std::vector<std::vector<std::string>> within = {
      {}, {"127.0.0.1:1"}, {"localhost:1"}, {"[::1]:1"}, {"127.0.0.1:1", "[::1]:1"}};
  const std::vector<std::vector<std::string>> without = {
      {"0.0.0.0:1"}, {"[::]:1"}, {"10.0.0.1:1"}, {"gpu.example.com:1"}, {"127.0.0.1:1", "0.0.0.0:2"}};
  std::vector<PolicyRow> rows;
  for (const bool tls : {false, true}) {
    for (const bool tokens : {false, true}) {
      for (const bool insecure : {false, true}) {
        for (const auto& listen : within) rows.push_back({listen, tls, tokens, insecure, true});
        for (const auto& listen : without) rows.push_back({listen, tls, tokens, insecure, tls || insecure});
      }
    }
  }
  for (const PolicyRow& row : rows) {
    const absl::Status status = ValidateSecurityOptions(ToOptions(row), row.listen);
    EXPECT_EQ(status.ok(), row.allowed) << status << " tls=" << row.tls << " insecure=" << row.insecure
                                        << " first=" << (row.listen.empty() ? "none" : row.listen.front());
    if (row.allowed) continue;
    const std::string message(status.message());
    EXPECT_THAT(message, AllOf(HasSubstr("--tls_cert"), HasSubstr("127.0.0.1"), HasSubstr("--insecure")));
    EXPECT_THAT(message, HasSubstr(row.listen.back()));
    EXPECT_EQ(absl::StrContains(message, "tokens included"), row.tokens) << message;
  }
}

}  // namespace
}  // namespace flashcore
