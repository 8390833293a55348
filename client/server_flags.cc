#include "client/server_flags.h"

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"

ABSL_FLAG(std::string, target, "localhost:50051", "The server: host:port, or unix:/path/to/socket.");
ABSL_FLAG(bool, tls, false, "Encrypt, and check the server's certificate. The other --tls flags imply it.");
ABSL_FLAG(std::string, tls_ca, "",
          "PEM file of the authorities that may have signed the server's certificate. Empty: those that the system "
          "trusts.");
ABSL_FLAG(std::string, tls_cert, "", "PEM file of this client's certificate, for a server that asks for one.");
ABSL_FLAG(std::string, tls_key, "", "PEM file of the key that belongs to --tls_cert.");
ABSL_FLAG(std::string, tls_server_name, "",
          "The name that the server's certificate must carry. Empty: the host of --target.");
ABSL_FLAG(std::string, auth_token_file, "",
          "File with the bearer token that goes with every call. There is no flag for the token itself: command lines "
          "can be read by others.");
ABSL_FLAG(bool, insecure, false,
          "Allow plain text to another machine: whoever is on the way can read and change the tensors, and take the "
          "token.");

namespace flashcore {

absl::StatusOr<ServerChoice> ServerFromFlags() {
  ServerChoice server{.target = absl::GetFlag(FLAGS_target),
                      .security = {.tls = absl::GetFlag(FLAGS_tls),
                                   .tls_ca = absl::GetFlag(FLAGS_tls_ca),
                                   .tls_cert = absl::GetFlag(FLAGS_tls_cert),
                                   .tls_key = absl::GetFlag(FLAGS_tls_key),
                                   .tls_server_name = absl::GetFlag(FLAGS_tls_server_name),
                                   .auth_token_file = absl::GetFlag(FLAGS_auth_token_file),
                                   .insecure = absl::GetFlag(FLAGS_insecure)}};
  if (server.target.empty()) {
    return absl::InvalidArgumentError("--target: is empty; give host:port or unix:/path/to/socket");
  }
  ChannelSecurity& security = server.security;
  security.tls |= !security.tls_ca.empty() || !security.tls_cert.empty() || !security.tls_key.empty() ||
                  !security.tls_server_name.empty();
  const absl::Status safe = CheckSecurity(server.target, security);
  // Fields and flags have the same names.
  if (!safe.ok()) return absl::InvalidArgumentError(absl::StrCat("--", safe.message()));
  return server;
}

}  // namespace flashcore
