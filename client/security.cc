#include "client/security.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/target.h"

namespace flashcore {
namespace {

constexpr uint32_t kLoopbackNetwork = 127;
constexpr int kNetworkShift = 24;

bool IsLoopback(const in_addr& address) { return ntohl(address.s_addr) >> kNetworkShift == kLoopbackNetwork; }

bool IsLoopback(const std::string& host) {
  if (absl::EqualsIgnoreCase(host, "localhost")) return true;
  in_addr ipv4{};
  if (inet_pton(AF_INET, host.c_str(), &ipv4) == 1) return IsLoopback(ipv4);
  in6_addr ipv6{};
  return inet_pton(AF_INET6, host.c_str(), &ipv6) == 1 && IN6_IS_ADDR_LOOPBACK(&ipv6);
}

absl::Status CheckTls(const ChannelSecurity& security) {
  if (security.tls_cert.empty() != security.tls_key.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(security.tls_cert.empty() ? "tls_cert" : "tls_key",
                                                   ": is missing; a client's certificate and its key go together"));
  }
  const bool unused = security.tls_ca.empty() && security.tls_cert.empty() && security.tls_server_name.empty();
  if (security.tls || unused) return absl::OkStatus();
  return absl::InvalidArgumentError("tls: is off, and so tls_ca, tls_cert, tls_key and tls_server_name mean nothing");
}

}  // namespace

bool IsThisMachine(absl::string_view target) {
  if (IsUnixSocket(target)) return true;
  const std::vector<HostPort> hosts = HostsOf(target);
  return !hosts.empty() &&
         std::all_of(hosts.begin(), hosts.end(), [](const HostPort& address) { return IsLoopback(address.host); });
}

absl::Status CheckSecurity(absl::string_view target, const ChannelSecurity& security) {
  if (absl::Status tls = CheckTls(security); !tls.ok()) return tls;
  if (security.tls || security.insecure || IsThisMachine(target)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "target: ", target, " is another machine, and plain text would show everybody on the way the tensors",
      security.auth_token_file.empty() ? "" : " and the token", "; use tls, or insecure where you trust the network"));
}

}  // namespace flashcore
