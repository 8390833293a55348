#include "client/load/number_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace flashcore {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::Pointwise;

TEST(NumberListTest, OneAndSeveral) {
  EXPECT_THAT(ParseNumberList("16").value(), ElementsAre(16));
  EXPECT_THAT(ParseNumberList("1,2.5,0").value(), ElementsAre(1, 2.5, 0));
}

TEST(NumberListTest, Ranges) {
  EXPECT_THAT(ParseNumberList("1:64:*4").value(), ElementsAre(1, 4, 16, 64));
  EXPECT_THAT(ParseNumberList("100:250:+100").value(), ElementsAre(100, 200));
  EXPECT_THAT(ParseNumberList("0.1:0.3:+0.1").value(), Pointwise(DoubleNear(1e-9), std::vector<double>{0.1, 0.2, 0.3}));
}

TEST(NumberListTest, WhatIsNoListSaysHowToWriteOne) {
  for (const char* text :
       {"", "x", "1,,2", "-1", "inf", "1:2", "2:1:+1", "1:8:*1", "0:8:*2", "1:8:+0", "1:8:2", "1:8:", "1:2:3:4"}) {
    EXPECT_THAT(std::string(ParseNumberList(text).status().message()), ::testing::HasSubstr("cannot read")) << text;
  }
  EXPECT_FALSE(ParseNumberList("1:1000000:+1").ok());
}

}  // namespace
}  // namespace flashcore
