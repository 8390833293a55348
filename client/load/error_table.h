// What went wrong in a run, and how often: errors of one kind are those with one code and one message, numbers aside.
#ifndef FLASHCORE_CLIENT_LOAD_ERROR_TABLE_H_
#define FLASHCORE_CLIENT_LOAD_ERROR_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace flashcore {

struct ErrorKind {
  absl::StatusCode code = absl::StatusCode::kUnknown;
  std::string first_message;
  int64_t count = 0;
  int64_t first_offset_ns = 0;  // When the first one came, after the start of the measurement.
  int64_t with_retry_hint = 0;
};

// What a code says of a call to a FlashCore server, for people: "refused: the server is full".
absl::string_view Meaning(absl::StatusCode code);

// Not thread-safe: one for each writer, merged at the end.
class ErrorTable {
 public:
  // Kinds beyond these are counted by their code alone.
  static constexpr size_t kMaxKinds = 32;

  void Record(const absl::Status& status, int64_t offset_ns);
  void Merge(const ErrorTable& other);

  int64_t total() const;
  int64_t total(absl::StatusCode code) const;
  // The most frequent first.
  std::vector<ErrorKind> Kinds() const;

 private:
  using Key = std::pair<absl::StatusCode, std::string>;  // The code, and the message with '#' for each number.

  ErrorKind& At(absl::StatusCode code, std::string pattern);

  std::map<Key, ErrorKind> kinds_;
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_ERROR_TABLE_H_
