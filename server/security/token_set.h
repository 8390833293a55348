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
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

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

  // Takes as long for any other token of the same length.
  bool Contains(absl::string_view token) const;

  size_t size() const { return digests_.size(); }

 private:
  static constexpr size_t kDigestBytes = 32;
  using Digest = std::array<unsigned char, kDigestBytes>;

  static Digest DigestOf(absl::string_view token);

  std::vector<Digest> digests_;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_SECURITY_TOKEN_SET_H_
