// The bearer tokens in use, from a file that is read again when it changes, and who may pass with them.
#ifndef FLASHCORE_SERVER_SECURITY_TOKEN_STORE_H_
#define FLASHCORE_SERVER_SECURITY_TOKEN_STORE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "kernels/base/mutex.h"
#include "server/security/file_reloader.h"
#include "server/security/security_metrics.h"
#include "server/security/token_set.h"

namespace flashcore {

// Thread-safe.
class TokenStore {
 public:
  // Reads the file, and looks at it every `reload_period` from then on; what is no good then is logged and counted, and
  // the old stays. `metrics` outlives the store. INVALID_ARGUMENT: no good now; says which line and never quotes it.
  static absl::StatusOr<std::unique_ptr<TokenStore>> Open(const std::string& path, absl::Duration reload_period,
                                                          SecurityMetrics& metrics);
  TokenStore(const TokenStore&) = delete;
  TokenStore& operator=(const TokenStore&) = delete;

  // Whether a call with these `authorization` values, all there are, may pass: exactly one, "Bearer TOKEN", the scheme
  // in any case, with a token in use. UNAUTHENTICATED otherwise, counted, with a message that tells nothing of tokens.
  absl::Status Authorize(absl::Span<const absl::string_view> authorizations) const;

 private:
  TokenStore(const std::string& path, SecurityMetrics& metrics);

  absl::Status Take(const std::vector<std::string>& contents);
  absl::Status Refuse(AuthFailure reason, absl::string_view message) const;

  SecurityMetrics& metrics_;
  mutable Mutex mutex_;
  std::shared_ptr<const TokenSet> current_ ABSL_GUARDED_BY(mutex_);
  FileReloader reloader_;  // Last, as its thread uses the others.
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_SECURITY_TOKEN_STORE_H_
