// What the checks of all flags share.
#ifndef FLASHCORE_SERVER_CONFIG_FLAG_CHECKS_H_
#define FLASHCORE_SERVER_CONFIG_FLAG_CHECKS_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace flashcore {

// INVALID_ARGUMENT: "--flag: parts".
template <typename... Parts>
absl::Status BadFlag(absl::string_view flag, const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag, ": ", parts...));
}

// INVALID_ARGUMENT says what the bounds are.
absl::Status CheckDuration(absl::string_view flag, absl::Duration value, absl::Duration least, absl::Duration greatest);

// INVALID_ARGUMENT unless `address` is host:port, an IPv6 host in brackets. Whether the host exists is for bind to say.
absl::Status CheckAddress(absl::string_view flag, absl::string_view address);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_CONFIG_FLAG_CHECKS_H_
