// How a client knows its server, and how it makes itself known. No gRPC.
#ifndef FLASHCORE_CLIENT_SECURITY_H_
#define FLASHCORE_CLIENT_SECURITY_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace flashcore {

// Named as the tools' flags. All files are read again while a client lives, within seconds: what is renewed needs no
// restart. Replace them atomically (write beside, then rename); a file that cannot be used leaves the last one in
// force.
struct ChannelSecurity {
  // Encrypt, and refuse a server whose certificate is not right. Without it: plain text, to this machine only.
  bool tls = false;
  // PEM file of the authorities that may have signed the server's certificate. Empty: those that the system trusts.
  std::string tls_ca = {};
  // PEM files of the client's certificate (with its chain, leaf first) and key, for servers that ask for one: both, or
  // neither.
  std::string tls_cert = {};
  std::string tls_key = {};
  // The name that the server's certificate must carry. Empty: the target's host.
  std::string tls_server_name = {};
  // File with one bearer token, sent as `authorization` with every call. Empty: none.
  std::string auth_token_file = {};
  // Allow plain text to another machine: whoever is on the way can read and change the tensors, and take the token.
  // With TLS it allows nothing more.
  bool insecure = false;
};

// Whether calls to `target`, a gRPC name, cannot leave this machine: a Unix socket, "localhost" or a loopback address.
bool IsThisMachine(absl::string_view target);

// INVALID_ARGUMENT names the field and says what would be right. Looks at no file.
absl::Status CheckSecurity(absl::string_view target, const ChannelSecurity& security);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_SECURITY_H_
