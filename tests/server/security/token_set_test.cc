#include "server/security/token_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace flashcore {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::string_view kToken = "QwA3bD8yEo5tVw1xJk9sHf2uPz7rLm4c";
constexpr absl::string_view kOther = "n6YgTq0RjXv8aKc3MdZe5WbU1hSoFpL7";

TokenSet Parse(absl::string_view text) {
  absl::StatusOr<TokenSet> set = TokenSet::Parse(text);
  EXPECT_TRUE(set.ok()) << set.status();
  return *std::move(set);
}

TEST(TokenSetTest, ReadsWhatTheHeaderShows) {
  for (const std::string& text :
       {std::string(kToken), absl::StrCat(kToken, "\n"), absl::StrCat("\n\n", kToken, "\n\n"),
        absl::StrCat("# c\n", kToken, "\n# c"), absl::StrCat("name:", kToken), absl::StrCat("a.b-c_D9: ", kToken),
        absl::StrCat("  ", kToken, " \t"), absl::StrCat(kToken, "\r\n"), absl::StrCat("name:", kToken, "\r\n#\r\n")}) {
    const TokenSet set = Parse(text);
    EXPECT_EQ(set.size(), 1u) << text;
    EXPECT_TRUE(set.Contains(kToken)) << text;
  }
}

TEST(TokenSetTest, AClientMayHaveTwo) {
  const TokenSet set = Parse(absl::StrCat("a:", kToken, "\na:", kOther, "\n"));
  EXPECT_EQ(set.size(), 2u);
  EXPECT_TRUE(set.Contains(kToken));
  EXPECT_TRUE(set.Contains(kOther));
}

TEST(TokenSetTest, EveryCharacterOfRfc6750) {
  const std::string token = "abcxyzABCXYZ0189-._~+/==";
  EXPECT_TRUE(Parse(token).Contains(token));
}

TEST(TokenSetTest, BadFilesAreRefusedWithTheLineAndWithoutTheToken) {
  struct Row {
    std::string text;
    const char* expected;
  };
  const std::string too_long(kGreatestTokenBytes + 1, 'a');
  const Row rows[] = {{"", "no token"},
                      {"\n \n", "no token"},
                      {"# nothing\n", "no token"},
                      {"0123456789abcde", "line 1: the token has 15"},
                      {"name:0123456789abcde", "line 1: the token has 15"},
                      {absl::StrCat(kToken, "\nshort\n"), "line 2: the token has 5"},
                      {too_long, "line 1: the token has 1025"},
                      {absl::StrCat("two words", kToken), "line 1: a token has only"},
                      {absl::StrCat("name:", kToken, ":", kOther), "line 1: a token has only"},
                      {absl::StrCat("na me:", kToken), "line 1: the name"},
                      {absl::StrCat(":", kToken), "line 1: the name"},
                      {"name:", "line 1: a token has only"},
                      {"===============================", "line 1: a token has only"},
                      {absl::StrCat("=", kToken), "line 1: a token has only"},
                      {absl::StrCat(kToken, "\xC3\xA9"), "line 1: a token has only"},
                      {absl::StrCat("\xEF\xBB\xBF", kToken), "line 1: a token has only"},
                      {absl::StrCat(kToken, absl::string_view("\0x", 2)), "line 1: a token has only"},
                      {absl::StrCat(kToken, "\n#\nx:", kToken), "line 3: the same token"}};
  for (const Row& row : rows) {
    const absl::Status status = TokenSet::Parse(row.text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << row.text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("--auth_tokens_file"));
    EXPECT_THAT(std::string(status.message()), HasSubstr(row.expected));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr(std::string(kToken.substr(0, 8)))));
  }
}

TEST(TokenSetTest, LengthsAtTheBounds) {
  const std::string least(kLeastTokenBytes, 'a');
  const std::string greatest(kGreatestTokenBytes, 'b');
  const TokenSet set = Parse(absl::StrCat(least, "\n", greatest));
  EXPECT_TRUE(set.Contains(least));
  EXPECT_TRUE(set.Contains(greatest));
}

TEST(TokenSetTest, NotMoreThanItTakes) {
  std::vector<std::string> lines;
  for (size_t i = 0; i < kMostTokens; ++i) lines.push_back(absl::StrCat("0123456789abcdef-", i));
  const TokenSet set = Parse(absl::StrJoin(lines, "\n"));
  for (const std::string& token : lines) EXPECT_TRUE(set.Contains(token));
  lines.emplace_back("0123456789abcdef-one-more");
  EXPECT_FALSE(TokenSet::Parse(absl::StrJoin(lines, "\n")).ok());
}

TEST(TokenSetTest, NothingButTheTokenPasses) {
  const TokenSet set = Parse(absl::StrCat("name:", kToken, "\n", kOther));
  std::vector<std::string> wrong = {"", " ", "name", "name:", absl::StrCat("name:", kToken), "#", "*"};
  for (size_t length = 1; length < kToken.size(); ++length) {
    wrong.emplace_back(kToken.substr(0, length));
    wrong.emplace_back(kToken.substr(length));
  }
  for (size_t i = 0; i < kToken.size(); ++i) {
    for (const int bit : {0x01, 0x20, 0x80}) {
      wrong.emplace_back(kToken);
      wrong.back()[i] = static_cast<char>(wrong.back()[i] ^ bit);
    }
  }
  for (const char* extra : {"a", " ", "=", "\n", "\r", "/"}) {
    wrong.push_back(absl::StrCat(kToken, extra));
    wrong.push_back(absl::StrCat(extra, kToken));
  }
  wrong.push_back(absl::StrCat(kToken, absl::string_view("\0", 1)));
  wrong.push_back(absl::StrCat(kToken, kOther));
  wrong.push_back(absl::StrCat(kToken, "\n", kOther));
  for (const std::string& token : wrong) EXPECT_FALSE(set.Contains(token)) << token;
  EXPECT_GT(wrong.size(), 150u);
}

}  // namespace
}  // namespace flashcore
