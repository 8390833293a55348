#include "server/security/token_set.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace flashcore {
namespace {

// Of the characters of a token but for the '=' at its end.
bool IsTokenCharacter(char c) { return absl::ascii_isalnum(c) || absl::StrContains("-._~+/", c); }
bool IsNameCharacter(char c) { return absl::ascii_isalnum(c) || absl::StrContains("-._", c); }

absl::Status BadLine(absl::string_view problem) { return absl::InvalidArgumentError(problem); }

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

TokenSet::TokenSet() : sha256_(EVP_MD_fetch(nullptr, "SHA256", nullptr), &EVP_MD_free) {}

TokenSet::Digest TokenSet::DigestOf(absl::string_view token) const {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes = {};
  unsigned int length = 0;
  const int done = EVP_Digest(token.data(), token.size(), bytes.data(), &length, sha256_.get(), nullptr);
  Digest digest = {};
  // Digests that are not those of the tokens would let anybody in, or nobody.
  if (done != 1 || length != sizeof(digest)) std::abort();
  std::memcpy(digest.data(), bytes.data(), sizeof(digest));
  return digest;
}

absl::Status TokenSet::Add(absl::string_view line) {
  bool good_name = true;
  const absl::string_view token = StripName(line, good_name);
  if (!good_name) return BadLine("the name before the colon is not of letters, digits and -._");
  if (!IsToken(token)) return BadLine("a token has only letters, digits and -._~+/, and = at its end");
  if (token.size() < kLeastTokenBytes || token.size() > kGreatestTokenBytes) {
    return BadLine(absl::StrCat("the token has ", token.size(), " characters, want ", kLeastTokenBytes, " to ",
                                kGreatestTokenBytes, ", better 32 random ones, as of openssl rand -hex 32"));
  }
  if (Contains(token)) return BadLine("the same token is on an earlier line");
  if (size() == kMostTokens) return BadLine(absl::StrCat("more than ", kMostTokens, " tokens"));
  digests_.push_back(DigestOf(token));
  return absl::OkStatus();
}

absl::StatusOr<TokenSet> TokenSet::Parse(absl::string_view text) {
  TokenSet set;
  size_t line_number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++line_number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || absl::StartsWith(line, "#")) continue;
    if (const absl::Status status = set.Add(line); !status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--auth_tokens_file: line ", line_number, ": ", status.message()));
    }
  }
  if (set.size() > 0) return set;
  return absl::InvalidArgumentError(
      "--auth_tokens_file: holds no token; one a line, e.g. from openssl rand -hex 32, 'name:' before it if you like");
}

bool TokenSet::Contains(absl::string_view token) const {
  const Digest digest = DigestOf(token);
  // No branch depends on what is found: neither whether nor which token it is shows in the time.
  uint64_t found = 0;
  for (const Digest& known : digests_) {
    uint64_t difference = 0;
    for (size_t i = 0; i < digest.size(); ++i) difference |= known[i] ^ digest[i];
    found |= static_cast<uint64_t>(difference == 0);
  }
  return found != 0;
}

}  // namespace flashcore
