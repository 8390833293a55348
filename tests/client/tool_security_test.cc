// The flags of security, which all tools have, as a user gives them.
#include <gmock/gmock.h>
#include <grpcpp/security/server_credentials.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/client/certificates.h"
#include "tests/client/fake_server.h"
#include "tests/client/shell.h"

namespace flashcore {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kToken[] = "s3cr3t-of-the-tools";

// Each as short as it gets.
const std::vector<std::string>& Tools() {
  static const auto* const kTools = new std::vector<std::string>{
      FLASHCORE_ATTEND " --shape=1,1,1,8",
      FLASHCORE_LOAD " --mix=1,1,1,8 --requests=1 --warmup=0 --allow_invalid --wait_ready=300ms",
      FLASHCORE_HEALTH " --timeout=300ms"};
  return *kTools;
}

class ToolSecurityTest : public ::testing::Test {
 protected:
  // Wants a client's certificate, and a token with each Attend.
  ToolSecurityTest() {
    grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_root_certs = authority_.Certificate();
    const Identity identity = authority_.Issue({.names = "DNS:gpu"});
    options.pem_key_cert_pairs.push_back({identity.key, identity.certificate});
    const auto check = [](grpc::ServerContext& context, const auto&, auto&) {
      const auto found = context.client_metadata().find("authorization");
      const bool right = found != context.client_metadata().end() && found->second == absl::StrCat("Bearer ", kToken);
      return right ? grpc::Status::OK : grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "a token is needed");
    };
    server_ = std::make_unique<FakeServer>(check, "", grpc::SslServerCredentials(options));
    target_ = absl::StrCat(" --target=", server_->target());
  }

  const TestAuthority authority_{"the authority"};
  const Identity client_ = authority_.Issue({.names = "DNS:client"});
  const std::string ca_ = absl::StrCat(" --tls_ca=", WriteTestFile("ca.crt", authority_.Certificate()));
  const std::string identity_ = absl::StrCat(" --tls_cert=", WriteTestFile("client.crt", client_.certificate),
                                             " --tls_key=", WriteTestFile("client.key", client_.key));
  const std::string token_ = absl::StrCat(" --auth_token_file=", WriteTestFile("token", kToken));
  std::unique_ptr<FakeServer> server_;
  std::string target_;
};

TEST_F(ToolSecurityTest, EverythingThatTheServerWants) {
  for (const std::string& tool : Tools()) {
    // The probes of other tests need not be patient.
    const Outcome outcome = Shell(absl::StrCat(tool, target_, ca_, identity_, token_, " --tls_server_name=gpu",
                                               tool.find("_health") == std::string::npos ? "" : " --timeout=60s",
                                               tool.find("_load") == std::string::npos ? "" : " --wait_ready=60s"));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    EXPECT_THAT(outcome.output, Not(HasSubstr(kToken)));
  }
}

TEST_F(ToolSecurityTest, WhatIsMissingIsSaid) {
  for (const std::string& tool : Tools()) {
    const Outcome certificate = Shell(absl::StrCat(tool, target_, ca_, token_, " --tls_server_name=gpu"));
    EXPECT_EQ(certificate.exit_code, 1) << tool;
    EXPECT_THAT(certificate.output, HasSubstr("asks for a client's certificate: give tls_cert and tls_key"));
    const Outcome name = Shell(absl::StrCat(tool, target_, ca_, identity_, token_));
    EXPECT_EQ(name.exit_code, 1) << tool;
    EXPECT_THAT(name.output, HasSubstr("is for DNS:gpu, not for 127.0.0.1"));
    const Outcome plain = Shell(absl::StrCat(tool, target_));
    EXPECT_EQ(plain.exit_code, 1) << tool;
    EXPECT_THAT(plain.output, HasSubstr("the server speaks TLS there: use tls"));
  }
  const Outcome token = Shell(absl::StrCat(Tools().front(), target_, ca_, identity_, " --tls_server_name=gpu"));
  EXPECT_EQ(token.exit_code, 1);
  EXPECT_THAT(token.output, HasSubstr("give auth_token_file"));
}

TEST(ToolFlagsTest, WrongUseIsSaid) {
  for (const std::string& tool : Tools()) {
    for (const char* flags : {" --target=gpu.example.org:1", " --target=gpu.example.org:1 --auth_token_file=t"}) {
      const Outcome plain = Shell(tool + flags);
      EXPECT_EQ(plain.exit_code, 2) << tool;
      EXPECT_THAT(plain.output, HasSubstr("--target: gpu.example.org:1 is another machine"));
    }
    const Outcome half = Shell(tool + " --tls_cert=c");
    EXPECT_EQ(half.exit_code, 2) << tool;
    EXPECT_THAT(half.output, HasSubstr("--tls_key: is missing"));
    const Outcome unreadable = Shell(tool + " --tls_ca=/nonexistent");
    EXPECT_EQ(unreadable.exit_code, 1) << tool;
    EXPECT_THAT(unreadable.output, HasSubstr("tls_ca: /nonexistent cannot be read"));
    EXPECT_THAT(Shell(tool + " --help").output, AllOf(HasSubstr("--tls_ca"), HasSubstr("--insecure")));
  }
}

}  // namespace
}  // namespace flashcore
