// Who gets a connection, and who does not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/server_process.h"
#include "tests/integration/tls_client.h"
#include "tests/server/security/certificates.h"
#include "tests/server/security/scratch_files.h"

namespace flashcore {
namespace {

using ::testing::AnyOf;
using testing::CallAttend;
using testing::CallAttendStream;
using testing::CallGetServerInfo;
using testing::CallHealth;
using testing::ConnectWithTls;
using ::testing::HasSubstr;
using testing::Identity;
using testing::MakeAuthority;
using testing::MakeCertificate;
using testing::RawAnswer;
using testing::ScratchFiles;
using testing::ServerProcess;
using testing::ShakeHands;

constexpr grpc::StatusCode kNoConnection = grpc::StatusCode::UNAVAILABLE;

std::vector<std::string> TlsFlags(const ScratchFiles& files, const Identity& server, const std::string& client_ca) {
  std::vector<std::string> flags = {"--backend=cpu", "--tls_cert=" + files.Write("cert", server.certificate),
                                    "--tls_key=" + files.Write("key", server.key)};
  if (!client_ca.empty()) flags.push_back("--tls_client_ca=" + files.Write("ca", client_ca));
  return flags;
}

class TlsHandshakeTest : public ::testing::Test {
 protected:
  static inline const Identity authority_ = MakeAuthority("authority");
  static inline const Identity other_ = MakeAuthority("other");
  static inline const Identity server_ = MakeCertificate({}, &authority_);
  ScratchFiles files_;
};

TEST_F(TlsHandshakeTest, EveryMethod) {
  ServerProcess server(TlsFlags(files_, server_, ""));
  const auto channel = ConnectWithTls(server.address(), {.roots = authority_.certificate});
  for (const auto& call : {CallAttend, CallAttendStream, CallGetServerInfo, CallHealth}) {
    const grpc::Status status = call(channel, {});
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
}

TEST_F(TlsHandshakeTest, Versions) {
  ServerProcess server(TlsFlags(files_, server_, ""));
  for (const int version : {TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION}) {
    const RawAnswer answer = ShakeHands(server.address(), {.least_version = version, .greatest_version = version});
    EXPECT_EQ(answer.connected, version >= TLS1_2_VERSION) << version << ": " << answer.error;
    if (answer.connected) continue;
    // It is the server that ended it, and not the client that cannot speak it.
    EXPECT_THAT(answer.error, AnyOf(HasSubstr("alert protocol version"), HasSubstr("unexpected eof"))) << version;
  }
  const RawAnswer best = ShakeHands(server.address());
  EXPECT_EQ(best.version, TLS1_3_VERSION);
  EXPECT_EQ(best.fingerprint, testing::FingerprintOf(server_.certificate));
}

TEST_F(TlsHandshakeTest, OnlyHttp2) {
  ServerProcess server(TlsFlags(files_, server_, ""));
  for (const char* alpn : {"", "http/1.1", "h3"}) {
    EXPECT_FALSE(ShakeHands(server.address(), {.alpn = alpn}).connected) << alpn;
  }
  EXPECT_TRUE(ShakeHands(server.address()).connected);
}

// The server shows it; it is the client who refuses.
TEST_F(TlsHandshakeTest, CertificatesThatClientsRefuse) {
  struct Row {
    const char* name;
    Identity server;
    std::string roots;
    bool connects;
  };
  const Identity self_signed = MakeCertificate({}, nullptr);
  const Row rows[] = {
      {"good", server_, authority_.certificate, true},
      {"one of two CAs", server_, other_.certificate + authority_.certificate, true},
      {"the wrong CA", server_, other_.certificate, false},
      {"self-signed", self_signed, authority_.certificate, false},
      {"expired", MakeCertificate({.starts = -absl::Hours(2), .ends = -absl::Hours(1)}, &authority_),
       authority_.certificate, false},
      {"not yet valid", MakeCertificate({.starts = absl::Hours(1)}, &authority_), authority_.certificate, false},
      {"another host", MakeCertificate({.names = "DNS:other.example,IP:127.0.0.2"}, &authority_),
       authority_.certificate, false},
      {"no name at all", MakeCertificate({.names = ""}, &authority_), authority_.certificate, false},
      {"for clients only", MakeCertificate({.usage = "clientAuth"}, &authority_), authority_.certificate, false},
      {"RSA", MakeCertificate({.rsa_bits = 2048}, &authority_), authority_.certificate, true},
  };
  for (const Row& row : rows) {
    ServerProcess server(TlsFlags(files_, row.server, ""));
    const grpc::Status status = CallGetServerInfo(ConnectWithTls(server.address(), {.roots = row.roots}));
    EXPECT_EQ(status.error_code(), row.connects ? grpc::StatusCode::OK : kNoConnection)
        << row.name << ": " << status.error_message();
  }
}

TEST_F(TlsHandshakeTest, AnIntermediateCaIsSentWithTheChain) {
  const Identity middle = MakeCertificate({.common_name = "middle", .names = "", .is_ca = true}, &authority_);
  Identity leaf = MakeCertificate({}, &middle);
  {
    ServerProcess server(TlsFlags(files_, leaf, ""));
    EXPECT_EQ(CallGetServerInfo(ConnectWithTls(server.address(), {.roots = authority_.certificate})).error_code(),
              kNoConnection);
  }
  leaf.certificate += middle.certificate;
  ServerProcess server(TlsFlags(files_, leaf, ""));
  EXPECT_TRUE(CallGetServerInfo(ConnectWithTls(server.address(), {.roots = authority_.certificate})).ok());
}

// What a client shows to a server that wants a certificate of `authority_`.
struct ClientRow {
  std::string name;
  Identity client;
  bool connects;
};

std::vector<ClientRow> ClientRows(const Identity& authority, const Identity& other, const Identity& server) {
  const Identity good = MakeCertificate({.common_name = "client", .names = ""}, &authority);
  const Identity impostor = MakeAuthority("authority");
  const Identity leaf_of_leaf = MakeCertificate({.common_name = "x", .names = ""}, &good);
  const Identity middle = MakeCertificate({.common_name = "middle", .names = "", .is_ca = true}, &authority);
  const Identity below = MakeCertificate({.common_name = "below", .names = ""}, &middle);
  return {
      {"good", good, true},
      {"for clients", MakeCertificate({.names = "", .usage = "clientAuth"}, &authority), true},
      {"for both", MakeCertificate({.names = "", .usage = "clientAuth,serverAuth"}, &authority), true},
      {"RSA", MakeCertificate({.names = "", .rsa_bits = 2048}, &authority), true},
      {"with its intermediate CA", {below.certificate + middle.certificate, below.key}, true},
      {"the server's own", server, true},
      {"none", {}, false},
      {"of another CA", MakeCertificate({.names = ""}, &other), false},
      {"of a CA of the same name", MakeCertificate({.names = ""}, &impostor), false},
      {"self-signed", MakeCertificate({.names = ""}, nullptr), false},
      {"self-signed with the CA's name", impostor, false},
      {"expired", MakeCertificate({.names = "", .starts = -absl::Hours(2), .ends = -absl::Hours(1)}, &authority),
       false},
      {"not yet valid", MakeCertificate({.names = "", .starts = absl::Hours(1)}, &authority), false},
      {"for servers only", MakeCertificate({.names = "", .usage = "serverAuth"}, &authority), false},
      {"for code only", MakeCertificate({.names = "", .usage = "codeSigning"}, &authority), false},
      {"signed by who is no CA", {leaf_of_leaf.certificate + good.certificate, leaf_of_leaf.key}, false},
      {"without its intermediate CA", below, false},
      {"with a weak key", MakeCertificate({.names = "", .rsa_bits = 1024}, &authority), false},
  };
}

TEST_F(TlsHandshakeTest, CertificatesOfClients) {
  ServerProcess server(TlsFlags(files_, server_, authority_.certificate));
  for (const ClientRow& row : ClientRows(authority_, other_, server_)) {
    const auto channel = ConnectWithTls(server.address(), {.roots = authority_.certificate, .identity = row.client});
    for (const auto& call : {CallGetServerInfo, CallHealth, CallAttend, CallAttendStream}) {
      const grpc::Status status = call(channel, {});
      EXPECT_EQ(status.error_code(), row.connects ? grpc::StatusCode::OK : kNoConnection)
          << row.name << ": " << status.error_message();
    }
    // TLS 1.2 asks at another moment.
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      if (row.name.find("intermediate") != std::string::npos) continue;  // The raw client sends no chain.
      const RawAnswer answer =
          ShakeHands(server.address(), {.least_version = version, .greatest_version = version, .identity = row.client});
      EXPECT_EQ(answer.connected, row.connects) << row.name << " " << version << ": " << answer.error;
    }
  }
}

TEST_F(TlsHandshakeTest, PlaintextAndTlsDoNotMeet) {
  ServerProcess secure(TlsFlags(files_, server_, ""));
  EXPECT_EQ(CallGetServerInfo(secure.Connect()).error_code(), kNoConnection);
  EXPECT_EQ(CallHealth(secure.Connect()).error_code(), kNoConnection);
  ServerProcess plain({"--backend=cpu"});
  const auto channel = ConnectWithTls(plain.address(), {.roots = authority_.certificate});
  EXPECT_EQ(CallGetServerInfo(channel).error_code(), kNoConnection);
  EXPECT_FALSE(ShakeHands(plain.address()).connected);
  // Neither has minded.
  EXPECT_TRUE(CallGetServerInfo(ConnectWithTls(secure.address(), {.roots = authority_.certificate})).ok());
  EXPECT_TRUE(CallGetServerInfo(plain.Connect()).ok());
}

TEST_F(TlsHandshakeTest, TheUnixSocketStaysPlaintext) {
  std::vector<std::string> flags = TlsFlags(files_, server_, authority_.certificate);
  flags.push_back("--unix_socket=" + files_.Path("socket"));
  ServerProcess server(flags);
  EXPECT_TRUE(CallAttend(ServerProcess::ConnectTo(server.unix_address())).ok());
}

TEST_F(TlsHandshakeTest, ProbesNeedNoCertificate) {
  std::vector<std::string> flags = TlsFlags(files_, server_, authority_.certificate);
  flags.emplace_back("--health_listen=127.0.0.1:0");
  ServerProcess server(flags);
  const auto probe = ServerProcess::ConnectTo(server.WaitForLog("health")["address"]);
  EXPECT_TRUE(CallHealth(probe).ok());
  for (const auto& call : {CallAttend, CallAttendStream, CallGetServerInfo, testing::CallReflection}) {
    EXPECT_EQ(call(probe, {}).error_code(), grpc::StatusCode::UNIMPLEMENTED);
  }
}

}  // namespace
}  // namespace flashcore
