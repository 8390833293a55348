// Bearer tokens, as --auth_tokens_file has them: one a line, with or without a name that tells people whose it is.
//
//   # the training cluster; both of its tokens, while the old one is being replaced
//   training:QwA3bD8yEo5tVw1xJk9sHf2uPz7rLm4c
//   training:n6YgTq0RjXv8aKc3MdZe5WbU1hSoFpL7
//   eR4tYu7iOp1aSd3fGh5jKl9zXc2vBn6m
//
// Only their SHA-256 digests are kept.
#ifndef FLASHCORE_SERVER_SECURITY_TOKEN_SET_H_
#define FLASHCORE_SERVER_SECURITY_TOKEN_SET_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct evp_md_st;

namespace flashcore {

inline constexpr size_t kLeastTokenBytes = 16;
inline constexpr size_t kGreatestTokenBytes = 1024;
inline constexpr size_t kMostTokens = 1000;

// Immutable, so thread-safe.
class TokenSet {
 public:
  // INVALID_ARGUMENT names the line and never quotes it: too short, too long, characters that a token cannot have
  // (RFC 6750: letters, digits, -._~+/ and = at its end), twice the same, no token at all, more than kMostTokens.
  static absl::StatusOr<TokenSet> Parse(absl::string_view text);

  // Takes as long for any other token of the same length, right or wrong: a fraction of a microsecond.
  bool Contains(absl::string_view token) const;

  size_t size() const { return digests_.size(); }

 private:
  // SHA-256, in words.
  using Digest = std::array<uint64_t, 4>;

  TokenSet();

  absl::Status Add(absl::string_view line);
  Digest DigestOf(absl::string_view token) const;

  std::shared_ptr<const evp_md_st> sha256_;  // Looked up once: OpenSSL takes longer to find it than to compute it.
  std::vector<Digest> digests_;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_SECURITY_TOKEN_SET_H_
