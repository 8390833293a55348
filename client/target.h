// A gRPC name taken apart: which host and port it means. No gRPC, no look-up.
#ifndef FLASHCORE_CLIENT_TARGET_H_
#define FLASHCORE_CLIENT_TARGET_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace flashcore {

struct HostPort {
  std::string host;  // IPv6 without brackets.
  std::string port;  // Empty: not said.
};

// Of "host:port", "[::1]:port", "dns:///host:port", "ipv4:a:port,b:port" and the like: at least one. Empty for a Unix
// socket, and for a scheme that is unknown here.
std::vector<HostPort> HostsOf(absl::string_view target);

// "unix:path" and "unix-abstract:name".
bool IsUnixSocket(absl::string_view target);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_TARGET_H_
