#include "server/rpc/call_context.h"

#include <gtest/gtest.h>

#include <string>

namespace flashcore {
namespace {

constexpr char kTraceparent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(IsTraceparentTest, AcceptsTheExampleOfTheStandard) { EXPECT_TRUE(IsTraceparent(kTraceparent)); }

TEST(IsTraceparentTest, RefusesAnyOtherCharacterAnywhere) {
  for (size_t i = 0; i < sizeof(kTraceparent) - 1; ++i) {
    for (const char other : {'A', 'g', ' ', '\n', '\0', '-', '9'}) {
      std::string text = kTraceparent;
      const bool digit_for_digit = other == '9' && text[i] != '-' && i > 1;
      if (text[i] == other || digit_for_digit) continue;
      text[i] = other;
      EXPECT_FALSE(IsTraceparent(text)) << text;
    }
  }
}

TEST(IsTraceparentTest, RefusesOtherLengths) {
  const std::string text = kTraceparent;
  EXPECT_FALSE(IsTraceparent(""));
  EXPECT_FALSE(IsTraceparent(text + "-"));
  EXPECT_FALSE(IsTraceparent(text.substr(0, text.size() - 1)));
}

}  // namespace
}  // namespace flashcore
