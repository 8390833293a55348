#include "client/load/error_table.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "client/attend.h"

namespace flashcore {
namespace {

// "k.shape: 3 heads, 16 wanted" and the same with other numbers are one kind.
std::string PatternOf(absl::string_view message) {
  std::string pattern;
  for (const char c : message) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) {
      pattern.push_back(c);
    } else if (pattern.empty() || pattern.back() != '#') {
      pattern.push_back('#');
    }
  }
  return pattern;
}

}  // namespace

absl::string_view Meaning(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kResourceExhausted:
      return "refused: the server is full, or the message too large";
    case absl::StatusCode::kDeadlineExceeded:
      return "not answered within --timeout";
    case absl::StatusCode::kUnavailable:
      return "no connection, or the server is draining";
    case absl::StatusCode::kInvalidArgument:
      return "a request that no server would answer";
    case absl::StatusCode::kUnimplemented:
      return "a request that this server cannot answer";
    case absl::StatusCode::kUnauthenticated:
      return "no token, or none that the server knows";
    case absl::StatusCode::kCancelled:
      return "cancelled, and not by this client";
    case absl::StatusCode::kInternal:
      return "the device failed, or the answer made no sense";
    default:
      return "unexpected from a FlashCore server";
  }
}

void ErrorTable::Record(const absl::Status& status, int64_t offset_ns) {
  ErrorKind& kind = At(status.code(), PatternOf(status.message()));
  if (kind.count++ == 0) {
    kind.code = status.code();
    kind.first_message = std::string(status.message());
    kind.first_offset_ns = offset_ns;
  }
  if (RetryAfter(status).has_value()) ++kind.with_retry_hint;
}

void ErrorTable::Merge(const ErrorTable& other) {
  for (const auto& [key, from] : other.kinds_) {
    ErrorKind& kind = At(key.first, key.second);
    if (kind.count == 0 || from.first_offset_ns < kind.first_offset_ns) {
      kind.code = from.code;
      kind.first_message = from.first_message;
      kind.first_offset_ns = from.first_offset_ns;
    }
    kind.count += from.count;
    kind.with_retry_hint += from.with_retry_hint;
  }
}

int64_t ErrorTable::total() const {
  int64_t sum = 0;
  for (const auto& [key, kind] : kinds_) sum += kind.count;
  return sum;
}

int64_t ErrorTable::total(absl::StatusCode code) const {
  int64_t sum = 0;
  for (const auto& [key, kind] : kinds_) sum += key.first == code ? kind.count : 0;
  return sum;
}

std::vector<ErrorKind> ErrorTable::Kinds() const {
  std::vector<ErrorKind> kinds;
  kinds.reserve(kinds_.size());
  for (const auto& [key, kind] : kinds_) kinds.push_back(kind);
  std::stable_sort(kinds.begin(), kinds.end(),
                   [](const ErrorKind& a, const ErrorKind& b) { return a.count > b.count; });
  return kinds;
}

ErrorKind& ErrorTable::At(absl::StatusCode code, std::string pattern) {
  Key key(code, std::move(pattern));
  if (const auto found = kinds_.find(key); found != kinds_.end()) return found->second;
  if (kinds_.size() >= kMaxKinds) key.second = "";
  return kinds_[key];
}

}  // namespace flashcore
