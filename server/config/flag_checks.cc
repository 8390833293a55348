#include "server/config/flag_checks.h"

#include <cstddef>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"

namespace flashcore {
namespace {

constexpr int kGreatestPort = 65535;

bool IsPort(absl::string_view text) {
  int port = 0;
  return absl::SimpleAtoi(text, &port) && port >= 0 && port <= kGreatestPort;
}

}  // namespace

absl::Status CheckDuration(absl::string_view flag, absl::Duration value, absl::Duration least,
                           absl::Duration greatest) {
  if (value >= least && value <= greatest) return absl::OkStatus();
  return BadFlag(flag, absl::FormatDuration(value), " is not from ",
                 least == absl::ZeroDuration() ? "0s" : absl::FormatDuration(least), " to ",
                 absl::FormatDuration(greatest));
}

absl::Status CheckAddress(absl::string_view flag, absl::string_view address) {
  const size_t colon = address.rfind(':');
  const absl::string_view host = address.substr(0, colon == absl::string_view::npos ? 0 : colon);
  const bool bracketed = absl::StartsWith(host, "[") && absl::EndsWith(host, "]");
  if (host.empty() || (absl::StrContains(host, ":") && !bracketed) || !IsPort(address.substr(colon + 1))) {
    return BadFlag(flag, "'", address, "' is not host:port, with a port from 0 to ", kGreatestPort,
                   " and an IPv6 host in brackets");
  }
  return absl::OkStatus();
}

}  // namespace flashcore
