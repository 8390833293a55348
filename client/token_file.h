// A bearer token that lives in a file, and may be replaced there. No gRPC.
#ifndef FLASHCORE_CLIENT_TOKEN_FILE_H_
#define FLASHCORE_CLIENT_TOKEN_FILE_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kernels/base/mutex.h"

namespace flashcore {

// The file's one token, without the white space around it. INVALID_ARGUMENT says what is wrong with the file, never
// what is in it.
absl::StatusOr<std::string> ReadToken(const std::string& path);

// Thread-safe.
class TokenFile {
 public:
  // A replaced file counts this long after the last look at it, at the latest.
  static constexpr absl::Duration kLookAgainAfter = absl::Seconds(1);

  // As ReadToken. `now` says the time.
  static absl::StatusOr<std::unique_ptr<TokenFile>> Open(std::string path, std::function<absl::Time()> now = absl::Now);

  // The token of now. Reads the file if the last look is old; a file that holds no token leaves the last one in force.
  std::string Current();

 private:
  TokenFile(std::string path, std::string token, std::function<absl::Time()> now);

  const std::string path_;
  const std::function<absl::Time()> now_;
  Mutex mutex_;
  std::string token_ ABSL_GUARDED_BY(mutex_);
  absl::Time looked_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_TOKEN_FILE_H_
