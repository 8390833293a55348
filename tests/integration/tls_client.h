// Clients of a server that wants TLS or tokens, and one that speaks TLS by hand to see what the server answers.
#ifndef FLASHCORE_TESTS_INTEGRATION_TLS_CLIENT_H_
#define FLASHCORE_TESTS_INTEGRATION_TLS_CLIENT_H_

#include <grpcpp/channel.h>
#include <grpcpp/support/status.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/server/security/certificates.h"

namespace flashcore::testing {

// PEM texts; an identity without certificate: none is shown.
struct ClientTls {
  std::string roots;
  Identity identity = {};
};

// A connection of its own, not shared with other channels of the process.
std::shared_ptr<grpc::Channel> ConnectWithTls(const std::string& address, const ClientTls& tls);

using CallMetadata = std::vector<std::pair<std::string, std::string>>;
CallMetadata BearerToken(const std::string& token);

// One call each; UNAVAILABLE if there is no connection to be had.
grpc::Status CallGetServerInfo(const std::shared_ptr<grpc::Channel>& channel, const CallMetadata& metadata = {});
grpc::Status CallAttend(const std::shared_ptr<grpc::Channel>& channel, const CallMetadata& metadata = {});
grpc::Status CallAttendStream(const std::shared_ptr<grpc::Channel>& channel, const CallMetadata& metadata = {});
grpc::Status CallHealth(const std::shared_ptr<grpc::Channel>& channel, const CallMetadata& metadata = {});
grpc::Status CallReflection(const std::shared_ptr<grpc::Channel>& channel, const CallMetadata& metadata = {});

// As OpenSSL numbers TLS versions.
struct RawHello {
  int least_version = 0;
  int greatest_version = 0;
  std::string alpn = "h2";  // Empty: not offered.
  Identity identity = {};
};
struct RawAnswer {
  bool connected = false;   // The server has sent HTTP/2's first bytes.
  int version = 0;          // As negotiated.
  std::string fingerprint;  // SHA-256 of the server's certificate, in hex.
  std::string error;        // OpenSSL's, of what the server sent instead.
};
// Trusts anybody. `address` is an IPv4 host:port.
RawAnswer ShakeHands(const std::string& address, const RawHello& hello = {});

}  // namespace flashcore::testing

#endif  // FLASHCORE_TESTS_INTEGRATION_TLS_CLIENT_H_
