#include "client/token_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace flashcore {
namespace {

// Far more than any token has, and within what servers take in a header.
constexpr size_t kMaxTokenBytes = 4096;

absl::Status Unusable(const std::string& path, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("auth_token_file: ", path, why));
}

}  // namespace

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file.is_open()) return Unusable(path, absl::StrCat(" cannot be read: ", std::strerror(errno)));
  std::string text(kMaxTokenBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > kMaxTokenBytes) return Unusable(path, absl::StrCat(" is longer than ", kMaxTokenBytes, " bytes"));
  std::string token(absl::StripAsciiWhitespace(text));
  if (token.empty()) return Unusable(path, " is empty; it must hold one token");
  const bool visible = std::all_of(token.begin(), token.end(), [](unsigned char c) { return absl::ascii_isgraph(c); });
  if (!visible) return Unusable(path, " must hold one token of visible ASCII characters, and nothing else");
  return token;
}

absl::StatusOr<std::unique_ptr<TokenFile>> TokenFile::Open(std::string path, std::function<absl::Time()> now) {
  absl::StatusOr<std::string> token = ReadToken(path);
  if (!token.ok()) return token.status();
  return std::unique_ptr<TokenFile>(new TokenFile(std::move(path), *std::move(token), std::move(now)));
}

TokenFile::TokenFile(std::string path, std::string token, std::function<absl::Time()> now)
    : path_(std::move(path)), now_(std::move(now)), token_(std::move(token)), looked_(now_()) {}

std::string TokenFile::Current() {
  const absl::Time now = now_();
  const MutexLock lock(mutex_);
  if (now - looked_ >= kLookAgainAfter) {
    looked_ = now;
    absl::StatusOr<std::string> token = ReadToken(path_);
    if (token.ok()) token_ = *std::move(token);
  }
  return token_;
}

}  // namespace flashcore
