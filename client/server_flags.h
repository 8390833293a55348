// The flags that every tool has: where the server is, and how to speak with it.
#ifndef FLASHCORE_CLIENT_SERVER_FLAGS_H_
#define FLASHCORE_CLIENT_SERVER_FLAGS_H_

#include <string>

#include "absl/status/statusor.h"
#include "client/security.h"

namespace flashcore {

struct ServerChoice {
  std::string target;
  ChannelSecurity security;
};

// From --target, --tls, --tls_ca, --tls_cert, --tls_key, --tls_server_name, --auth_token_file and --insecure, which
// must have been parsed. INVALID_ARGUMENT names the flag and says what would be right. Looks at no file.
absl::StatusOr<ServerChoice> ServerFromFlags();

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_SERVER_FLAGS_H_
