#include <gtest/gtest.h>

#include "bench/rpc/cases.h"

namespace flashcore::bench {
namespace {

TEST(RpcCases, AreReadAsTheyAreWritten) {
  const auto cases = ParseCases("mission unary tcp 32x8, 1KiB stream uds 4x2");
  ASSERT_TRUE(cases.ok()) << cases.status();
  ASSERT_EQ(cases->size(), 2U);
  EXPECT_EQ((*cases)[0], (Case{.concurrency = 32, .channels = 8}));
  EXPECT_EQ((*cases)[1], (Case{.payload = Payload::kSmall,
                               .shape = CallShape::kStream,
                               .transport = Transport::kUnixSocket,
                               .concurrency = 4,
                               .channels = 2}));
  EXPECT_EQ(ToString((*cases)[1]), "1KiB stream uds 4x2");
}

TEST(RpcCases, NameTheCaseThatIsWrong) {
  for (const char* text : {"mission unary tcp", "tiny unary tcp 1x1", "mission unary tcp 3x2", "mission unary tcp 1x2",
                           "mission unary tcp 0x0", "mission unary tcp 1", "mission unary tcp 8192x1"}) {
    const auto cases = ParseCases(std::string("mission unary tcp 1x1,") + text);
    ASSERT_FALSE(cases.ok()) << text;
    EXPECT_NE(cases.status().message().find(text), std::string::npos) << cases.status();
  }
  EXPECT_FALSE(ParseCases(" , ").ok());
}

}  // namespace
}  // namespace flashcore::bench
