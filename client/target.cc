#include "client/target.h"

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace flashcore {
namespace {

HostPort Split(absl::string_view address) {
  if (absl::ConsumePrefix(&address, "[")) {
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(address, absl::MaxSplits(']', 1));
    return {.host = std::string(parts.first), .port = std::string(absl::StripPrefix(parts.second, ":"))};
  }
  const size_t colon = address.find(':');
  // More than one colon: an IPv6 address without a port.
  if (colon == absl::string_view::npos || address.find(':', colon + 1) != absl::string_view::npos) {
    return {.host = std::string(address), .port = ""};
  }
  return {.host = std::string(address.substr(0, colon)), .port = std::string(address.substr(colon + 1))};
}

}  // namespace

bool IsUnixSocket(absl::string_view target) {
  return absl::StartsWith(target, "unix:") || absl::StartsWith(target, "unix-abstract:");
}

std::vector<HostPort> HostsOf(absl::string_view target) {
  if (IsUnixSocket(target)) return {};
  std::vector<HostPort> hosts;
  if (absl::ConsumePrefix(&target, "ipv4:") || absl::ConsumePrefix(&target, "ipv6:")) {
    for (const absl::string_view address : absl::StrSplit(target, ',')) hosts.push_back(Split(address));
    return hosts;
  }
  if (absl::ConsumePrefix(&target, "dns:") && absl::ConsumePrefix(&target, "//")) {
    // The name server to ask, if any, comes before the name.
    target = target.substr(target.find('/') + 1);
  }
  if (absl::StrContains(target, "/")) return {};
  return {Split(target)};
}

}  // namespace flashcore
