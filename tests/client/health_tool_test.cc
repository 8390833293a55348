// flashcore_health as a container's probe starts it, against a server in this process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "tests/client/fake_server.h"
#include "tests/client/shell.h"

namespace flashcore {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

Outcome Health(const std::string& flags) { return Shell(absl::StrCat(FLASHCORE_HEALTH, " ", flags)); }

TEST(HealthToolTest, SaysNothingOfAServingServer) {
  const FakeServer server;
  const Outcome outcome = Health(absl::StrCat("--timeout=60s --target=", server.target()));
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output, IsEmpty());
}

TEST(HealthToolTest, AsksThroughAUnixSocket) {
  const FakeServer server(nullptr, testing::TempDir() + "/flashcore_health_test.sock");
  EXPECT_EQ(Health(absl::StrCat("--timeout=60s --target=", server.target())).exit_code, 0);
}

TEST(HealthToolTest, FailsOnAServerThatDoesNotServe) {
  FakeServer server;
  server.SetServing(false);
  const Outcome outcome = Health(absl::StrCat("--timeout=300ms --target=", server.target()));
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("was not serving within 300ms"));
}

TEST(HealthToolTest, FailsWhereNobodyListens) {
  EXPECT_EQ(Health("--target=127.0.0.1:1 --timeout=100ms").exit_code, 1);
}

TEST(HealthToolTest, UsageErrorsAndHelp) {
  EXPECT_EQ(Health("--taget=x").exit_code, 2);
  EXPECT_EQ(Health("--target=").exit_code, 2);
  EXPECT_EQ(Health("--timeout=0s").exit_code, 2);
  const Outcome help = Health("--help");
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.output, HasSubstr("--timeout (default 3s)"));
}

}  // namespace
}  // namespace flashcore
