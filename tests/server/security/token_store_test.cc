#include "server/security/token_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/server/security/scratch_files.h"

namespace flashcore {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::string_view kToken = "QwA3bD8yEo5tVw1xJk9sHf2uPz7rLm4c";
constexpr absl::string_view kOther = "n6YgTq0RjXv8aKc3MdZe5WbU1hSoFpL7";
constexpr absl::Duration kNever = absl::Hours(1);
constexpr absl::Duration kOften = absl::Milliseconds(1);

class TokenStoreTest : public ::testing::Test {
 protected:
  std::unique_ptr<TokenStore> Open(absl::string_view text, absl::Duration period) {
    absl::StatusOr<std::unique_ptr<TokenStore>> store =
        TokenStore::Open(files_.Write("tokens", text), period, metrics_);
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }

  static bool Passes(const TokenStore& store, absl::string_view token) {
    const std::string value = absl::StrCat("Bearer ", token);
    return store.Authorize({value}).ok();
  }

  testing::ScratchFiles files_;
  SecurityMetrics metrics_;
};

TEST_F(TokenStoreTest, ExactlyOneBearerTokenPasses) {
  const auto store = Open(kToken, kNever);
  EXPECT_TRUE(Passes(*store, kToken));
  for (const char* scheme : {"Bearer", "bearer", "BEARER", "bEaReR"}) {
    EXPECT_TRUE(store->Authorize({absl::StrCat(scheme, " ", kToken)}).ok()) << scheme;
  }
}

TEST_F(TokenStoreTest, EverythingElseIsUnauthenticatedAndNotQuoted) {
  const auto store = Open(absl::StrCat("name:", kToken, "\n", kOther), kNever);
  const std::string good = absl::StrCat("Bearer ", kToken);
  std::vector<std::vector<std::string>> rows = {
      {},           {""},       {" "},      {"Bearer"},          {"Bearer "}, {"Bearer  "}, {std::string(kToken)},
      {good, good}, {good, ""}, {"", good}, {good, "Basic eDp5"}};
  for (const char* scheme : {"Basic ", "Token ", "Bearer:", "Bearer\t", "Bearer  ", " Bearer ", "Bearer=", "Bearer,",
                             "earer ", "XBearer ", "Digest ", "Bearer name:", "Bearer \"", "Bearer token="}) {
    rows.push_back({absl::StrCat(scheme, kToken)});
  }
  for (const char* tail : {" ", "\"", ",", ", Bearer x", "x", "=", "\n"}) rows.push_back({absl::StrCat(good, tail)});
  for (const auto& row : rows) {
    const std::vector<absl::string_view> values(row.begin(), row.end());
    const absl::Status status = store->Authorize(values);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated) << (row.empty() ? "none" : row.front());
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr(std::string(kToken.substr(0, 8)))));
  }
}

TEST_F(TokenStoreTest, BadAtStart) {
  const absl::Status empty = TokenStore::Open(files_.Write("t", "# none\n"), kNever, metrics_).status();
  EXPECT_EQ(empty.code(), absl::StatusCode::kInvalidArgument);
  const absl::Status none = TokenStore::Open(files_.Path("none"), kNever, metrics_).status();
  EXPECT_THAT(std::string(none.message()), HasSubstr("--auth_tokens_file: "));
}

TEST_F(TokenStoreTest, ChangesAreTaken) {
  const auto store = Open(kToken, kOften);
  files_.Write("tokens", absl::StrCat(kToken, "\n", kOther));
  while (!Passes(*store, kOther)) std::this_thread::yield();
  EXPECT_TRUE(Passes(*store, kToken));
  files_.Replace("tokens", kOther);
  while (Passes(*store, kToken)) std::this_thread::yield();
  EXPECT_TRUE(Passes(*store, kOther));
}

TEST_F(TokenStoreTest, WhatIsNoGoodKeepsTheOld) {
  const auto store = Open(kToken, kOften);
  double failures = 0;
  for (const char* text : {"", "# nothing\n", "short\n", "two words and more\n"}) {
    files_.Write("tokens", text);
    const double before = failures;
    while (failures <= before + 1) failures = metrics_.Collect()[2].metric.front().counter.value;
    EXPECT_TRUE(Passes(*store, kToken)) << text;
    files_.Write("tokens", kToken);
  }
}

}  // namespace
}  // namespace flashcore
