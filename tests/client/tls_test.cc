// The client library against servers that speak TLS: whom it refuses, what it sends, and how it says what is wrong.
#include <gmock/gmock.h>
#include <grpcpp/security/server_credentials.h>
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "client/client.h"
#include "client/load/grpc_transport.h"
#include "client/load/mix.h"
#include "client/load/workload.h"
#include "kernels/base/mutex.h"
#include "tests/client/certificates.h"
#include "tests/client/fake_server.h"

namespace flashcore {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::Duration kPatience = absl::Seconds(60);
constexpr char kToken[] = "s3cr3t-of-the-tests";

// As a server wants them. An empty `client_authority` asks clients for no certificate.
std::shared_ptr<grpc::ServerCredentials> ServerTls(const Identity& identity, const std::string& client_authority = "") {
  grpc::SslServerCredentialsOptions options(client_authority.empty()
                                                ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                                                : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = client_authority;
  options.pem_key_cert_pairs.push_back({identity.key, identity.certificate});
  return grpc::SslServerCredentials(options);
}

// The last `authorization` that came with an Attend.
class SeenToken {
 public:
  FakeServer::Twist Twist() {
    return [this](grpc::ServerContext& context, const v1::AttendRequest&, v1::AttendResponse&) {
      const auto found = context.client_metadata().find("authorization");
      const MutexLock lock(mutex_);
      seen_ =
          found == context.client_metadata().end() ? "none" : std::string(found->second.data(), found->second.size());
      return grpc::Status::OK;
    };
  }
  std::string seen() const {
    const MutexLock lock(mutex_);
    return seen_;
  }

 private:
  mutable Mutex mutex_;
  std::string seen_ ABSL_GUARDED_BY(mutex_);
};

absl::Status Ask(Client& client) {
  const Tensor q = Tensor::Random({DType::kFloat16, {1, 1, 2, 8}}, 1);
  return client.Attend(q, q, q, {}, {.timeout = kPatience}).status();
}

// A call, and its status as a person gets to see it.
absl::Status Ask(const std::string& target, const ChannelSecurity& security) {
  absl::StatusOr<Client> client = Client::Connect(target, {.security = security});
  if (!client.ok()) return client.status();
  const absl::Status status = Ask(*client);
  EXPECT_TRUE(status.ok() || absl::IsUnavailable(status)) << status;
  return client->Explain(status);
}

class TlsTest : public ::testing::Test {
 protected:
  static std::string WithName(const std::string& target, const std::string& name) {
    return absl::StrReplaceAll(target, {{"127.0.0.1", name}});
  }

  const TestAuthority authority_{"the authority"};
  const TestAuthority stranger_{"a stranger"};
  const std::string ca_ = WriteTestFile("ca.crt", authority_.Certificate());
  const std::string stranger_ca_ = WriteTestFile("stranger.crt", stranger_.Certificate());
};

TEST_F(TlsTest, TheRightAuthority) {
  const FakeServer server(nullptr, "", ServerTls(authority_.Issue()));
  EXPECT_EQ(Ask(server.target(), {.tls = true, .tls_ca = ca_}), absl::OkStatus());
  EXPECT_EQ(Ask(WithName(server.target(), "localhost"), {.tls = true, .tls_ca = ca_}), absl::OkStatus());
}

TEST_F(TlsTest, AnotherAuthority) {
  const FakeServer server(nullptr, "", ServerTls(authority_.Issue()));
  const absl::Status status = Ask(server.target(), {.tls = true, .tls_ca = stranger_ca_});
  EXPECT_THAT(status.message(), AllOf(HasSubstr("signed by CN = the authority, is not trusted"),
                                      HasSubstr("authority's certificate instead of " + stranger_ca_)));
  EXPECT_THAT(Ask(server.target(), {.tls = true}).message(), HasSubstr("give its authority's certificate as tls_ca"));
}

TEST_F(TlsTest, AnotherName) {
  const FakeServer server(nullptr, "", ServerTls(authority_.Issue({.names = "DNS:gpu.example.org,DNS:gpu"})));
  const absl::Status status = Ask(server.target(), {.tls = true, .tls_ca = ca_});
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("is for DNS:gpu.example.org, DNS:gpu, not for 127.0.0.1"), HasSubstr("tls_server_name")));
  EXPECT_EQ(Ask(server.target(), {.tls = true, .tls_ca = ca_, .tls_server_name = "gpu"}), absl::OkStatus());
  EXPECT_FALSE(Ask(server.target(), {.tls = true, .tls_ca = ca_, .tls_server_name = "gpu.example"}).ok());
}

TEST_F(TlsTest, ExpiredAndNotYetValid) {
  const FakeServer expired(
      nullptr, "", ServerTls(authority_.Issue({.valid_from = -absl::Hours(2), .valid_until = -absl::Hours(1)})));
  EXPECT_THAT(Ask(expired.target(), {.tls = true, .tls_ca = ca_}).message(),
              AllOf(HasSubstr("has expired"), HasSubstr("renew it")));
  const FakeServer early(nullptr, "",
                         ServerTls(authority_.Issue({.valid_from = absl::Hours(1), .valid_until = absl::Hours(2)})));
  EXPECT_THAT(Ask(early.target(), {.tls = true, .tls_ca = ca_}).message(),
              AllOf(HasSubstr("is valid only from"), HasSubstr("clock")));
}

TEST_F(TlsTest, ServersThatAskForACertificate) {
  const FakeServer server(nullptr, "", ServerTls(authority_.Issue(), authority_.Certificate()));
  const Identity known = authority_.Issue({.names = "DNS:a client"});
  const Identity unknown = stranger_.Issue({.names = "DNS:a client"});
  const std::string certificate = WriteTestFile("client.crt", known.certificate);
  const std::string key = WriteTestFile("client.key", known.key);
  ChannelSecurity security{.tls = true, .tls_ca = ca_, .tls_cert = certificate, .tls_key = key};
  EXPECT_EQ(Ask(server.target(), security), absl::OkStatus());
  EXPECT_THAT(Ask(server.target(), {.tls = true, .tls_ca = ca_}).message(), HasSubstr("give tls_cert and tls_key"));
  security.tls_cert = WriteTestFile("unknown.crt", unknown.certificate);
  security.tls_key = WriteTestFile("unknown.key", unknown.key);
  EXPECT_THAT(Ask(server.target(), security).message(), HasSubstr("does not accept the certificate in"));
}

TEST_F(TlsTest, OneSpeaksTlsAndTheOtherDoesNot) {
  const FakeServer plain;
  EXPECT_THAT(Ask(plain.target(), {.tls = true, .tls_ca = ca_}).message(), HasSubstr("speaks plain text"));
  const FakeServer encrypted(nullptr, "", ServerTls(authority_.Issue()));
  EXPECT_THAT(Ask(encrypted.target(), {}).message(), HasSubstr("the server speaks TLS there: use tls"));
}

TEST_F(TlsTest, AMistakeIsSaidWhileWaitingToo) {
  const FakeServer server(nullptr, "", ServerTls(authority_.Issue()));
  Client client = Client::Connect(server.target(), {.security = {.tls = true, .tls_ca = stranger_ca_}}).value();
  const absl::Status status = client.WaitUntilServing(absl::Milliseconds(300));
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(status.message(), HasSubstr("is not trusted"));
}

TEST_F(TlsTest, FilesThatCannotBeUsedAreNamed) {
  const Identity one = authority_.Issue();
  const Identity other = authority_.Issue();
  const std::string certificate = WriteTestFile("one.crt", one.certificate);
  const std::string key = WriteTestFile("other.key", other.key);
  const std::string nonsense = WriteTestFile("nonsense", "nonsense");
  const auto complaint = [](const ChannelSecurity& security) {
    const absl::Status status = Client::Connect("localhost:1", {.security = security}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_THAT(complaint({.tls = true, .tls_ca = "/nonexistent"}), HasSubstr("tls_ca: /nonexistent cannot be read: No"));
  EXPECT_THAT(complaint({.tls = true, .tls_ca = nonsense}), HasSubstr("holds no certificates in PEM"));
  EXPECT_THAT(complaint({.tls = true, .tls_cert = nonsense, .tls_key = key}), HasSubstr("holds no certificate in PEM"));
  EXPECT_THAT(complaint({.tls = true, .tls_cert = certificate, .tls_key = nonsense}), HasSubstr("holds no PEM key"));
  EXPECT_THAT(complaint({.tls = true, .tls_cert = certificate, .tls_key = key}), HasSubstr("is not the key of"));
  EXPECT_THAT(complaint({.auth_token_file = "/nonexistent"}),
              HasSubstr("auth_token_file: /nonexistent cannot be read"));
}

TEST_F(TlsTest, RenewedFilesAreUsedByTheNextConnection) {
  const std::string ca = WriteTestFile("renewed.crt", stranger_.Certificate());
  const FakeServer server(nullptr, "", ServerTls(authority_.Issue()));
  Client client = Client::Connect(server.target(), {.security = {.tls = true, .tls_ca = ca}}).value();
  EXPECT_FALSE(Ask(client).ok());
  WriteTestFile("renewed.crt", authority_.Certificate());
  EXPECT_TRUE(client.WaitUntilServing(kPatience).ok());
}

TEST_F(TlsTest, EveryCallHasTheToken) {
  SeenToken seen;
  const FakeServer server(seen.Twist(), "", ServerTls(authority_.Issue()));
  const ChannelSecurity security{
      .tls = true, .tls_ca = ca_, .auth_token_file = WriteTestFile("token", absl::StrCat(kToken, "\n"))};
  EXPECT_EQ(Ask(server.target(), security), absl::OkStatus());
  EXPECT_EQ(seen.seen(), absl::StrCat("Bearer ", kToken));

  const Workload workload = Workload::Create(ParseMix("1,1,2,8").value(), {}, [](int, int) {}).value();
  const TransportOptions options{.target = server.target(), .security = security};
  for (const auto make : {&MakeUnaryTransport, &MakeStreamTransport}) {
    EXPECT_EQ(Ask(server.target(), {.tls = true, .tls_ca = ca_}), absl::OkStatus());
    EXPECT_EQ(seen.seen(), "none");
    const std::unique_ptr<Transport> transport = make(options, workload).value();
    std::promise<absl::Status> status;
    transport->Start({.request = workload.requests().data()},
                     [&status](const CallOutcome& outcome) { status.set_value(outcome.status); });
    EXPECT_EQ(status.get_future().get(), absl::OkStatus());
    EXPECT_EQ(seen.seen(), absl::StrCat("Bearer ", kToken));
  }
}

TEST_F(TlsTest, ATokenLeavesThisMachineEncryptedOrNotAtAll) {
  SeenToken seen;
  const FakeServer server(seen.Twist());
  const ChannelSecurity security{.auth_token_file = WriteTestFile("token", kToken)};
  EXPECT_EQ(Ask(server.target(), security), absl::OkStatus());
  EXPECT_EQ(seen.seen(), absl::StrCat("Bearer ", kToken)) << "on this machine";

  const absl::Status refused = Client::Connect("gpu.example.org:50051", {.security = security}).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(refused.message(), AllOf(HasSubstr("another machine"), Not(HasSubstr(kToken))));
  const Workload workload = Workload::Create(ParseMix("1,1,2,8").value(), {}, [](int, int) {}).value();
  const TransportOptions options{.target = "gpu.example.org:50051", .security = security};
  EXPECT_EQ(MakeUnaryTransport(options, workload).status(), refused);
  EXPECT_EQ(MakeStreamTransport(options, workload).status(), refused);
}

TEST_F(TlsTest, AnUnknownTokenIsExplainedAndNotPrinted) {
  const FakeServer server(
      [](grpc::ServerContext&, const auto&, auto&) { return grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "no"); });
  const std::string file = WriteTestFile("token", kToken);
  Client with = Client::Connect(server.target(), {.security = {.auth_token_file = file}}).value();
  EXPECT_THAT(with.Explain(Ask(with)).message(),
              AllOf(HasSubstr("the token in " + file + " is not one that it knows"), Not(HasSubstr(kToken))));
  Client without = Client::Connect(server.target()).value();
  EXPECT_THAT(without.Explain(Ask(without)).message(), HasSubstr("give auth_token_file"));
}

TEST_F(TlsTest, OtherErrorsAreLeftAlone) {
  const FakeServer server;
  const Client client = Client::Connect(server.target()).value();
  absl::Status full = absl::ResourceExhaustedError("full");
  SetRetryAfter(full, "5");
  EXPECT_EQ(client.Explain(full), full);
  EXPECT_EQ(client.Explain(absl::OkStatus()), absl::OkStatus());
  EXPECT_EQ(client.Explain(absl::UnavailableError("draining")), absl::UnavailableError("draining"));
}

}  // namespace
}  // namespace flashcore
