#include "server/security/token_set.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace flashcore {
namespace {

// Of the characters of a token but for the '=' at its end.
bool IsTokenCharacter(char c) { return absl::ascii_isalnum(c) || absl::StrContains("-._~+/", c); }
bool IsNameCharacter(char c) { return absl::ascii_isalnum(c) || absl::StrContains("-._", c); }

absl::Status BadLine(size_t line_number, absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat("--auth_tokens_file: line ", line_number, ": ", problem));
}

// What is after the name, if there is one: a token has no colon.
absl::string_view StripName(absl::string_view line, bool& good_name) {
  const size_t colon = line.find(':');
  if (colon == absl::string_view::npos) return line;
  const absl::string_view name = absl::StripAsciiWhitespace(line.substr(0, colon));
  good_name = !name.empty() && std::all_of(name.begin(), name.end(), IsNameCharacter);
  return absl::StripAsciiWhitespace(line.substr(colon + 1));
}

bool IsToken(absl::string_view text) {
  while (absl::EndsWith(text, "=")) text.remove_suffix(1);
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenCharacter);
}

}  // namespace

TokenSet::Digest TokenSet::DigestOf(absl::string_view token) {
  Digest digest = {};
  static_assert(kDigestBytes == SHA256_DIGEST_LENGTH);
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), digest.data());
  return digest;
}

absl::StatusOr<TokenSet> TokenSet::Parse(absl::string_view text) {
  TokenSet set;
  size_t line_number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++line_number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || absl::StartsWith(line, "#")) continue;
    bool good_name = true;
    const absl::string_view token = StripName(line, good_name);
    if (!good_name) return BadLine(line_number, "the name before the colon is not of letters, digits and -._");
    if (!IsToken(token)) return BadLine(line_number, "a token has only letters, digits and -._~+/, and = at its end");
    if (token.size() < kLeastTokenBytes || token.size() > kGreatestTokenBytes) {
      return BadLine(line_number, absl::StrCat("the token has ", token.size(), " characters, want ", kLeastTokenBytes,
                                               " to ", kGreatestTokenBytes, ", better 32; openssl rand -hex 32"));
    }
    const Digest digest = DigestOf(token);
    if (std::find(set.digests_.begin(), set.digests_.end(), digest) != set.digests_.end()) {
      return BadLine(line_number, "the same token is on an earlier line");
    }
    if (set.size() == kMostTokens) return BadLine(line_number, absl::StrCat("more than ", kMostTokens, " tokens"));
    set.digests_.push_back(digest);
  }
  if (set.size() == 0) {
    return absl::InvalidArgumentError(
        "--auth_tokens_file: holds no token; one a line, e.g. from openssl rand -hex 32, 'name:' before it if you "
        "like");
  }
  return set;
}

bool TokenSet::Contains(absl::string_view token) const {
  const Digest digest = DigestOf(token);
  int found = 0;
  for (const Digest& known : digests_) {
    found |= static_cast<int>(CRYPTO_memcmp(known.data(), digest.data(), digest.size()) == 0);
  }
  return found != 0;
}

}  // namespace flashcore
