// The little of HTTP that a scrape needs.
#ifndef FLASHCORE_CLIENT_LOAD_HTTP_GET_H_
#define FLASHCORE_CLIENT_LOAD_HTTP_GET_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace flashcore {

// The body of http://`address``path`; `address` is "host:port" or "[v6]:port". Blocks, for `timeout` at most (but for
// the resolution of a name). Any status but 200, and a body beyond 64 MiB, is an error.
absl::StatusOr<std::string> HttpGet(const std::string& address, absl::string_view path, absl::Duration timeout);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_HTTP_GET_H_
