#include "bench/kernel/shape.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace flashcore::bench {
namespace {

using ::testing::HasSubstr;

TEST(ShapeTest, ReadsPositionsAndOptions) {
  const absl::StatusOr<Shape> shape =
      ParseShape("2,32,16,128,kv_heads=8,kv_len=4096,bf16,causal,window=100:,soft_cap=30");
  ASSERT_TRUE(shape.ok()) << shape.status();
  EXPECT_EQ(shape->batch, 2);
  EXPECT_EQ(shape->num_qo_heads, 32);
  EXPECT_EQ(shape->num_kv_heads, 8);
  EXPECT_EQ(shape->q_len, 16);
  EXPECT_EQ(shape->kv_len, 4096);
  EXPECT_EQ(shape->head_dim, 128);
  EXPECT_EQ(shape->dtype, DType::kBFloat16);
  EXPECT_TRUE(shape->options.causal);
  EXPECT_EQ(shape->options.window_left, 100);
  EXPECT_EQ(shape->options.window_right, -1);
  EXPECT_EQ(shape->options.logits_soft_cap, 30.0f);
  EXPECT_EQ(shape->options.sm_scale, DefaultScale(128));
  EXPECT_EQ(shape->k_strides.batch, 8 * 4096 * 128);
  EXPECT_EQ(shape->q_strides.head, 16 * 128);
}

TEST(ShapeTest, WritesWhatItReads) {
  for (const char* text : {"1,8,512,64", "1,8,512,64,causal", "2,32,1,128,kv_heads=8,kv_len=100,bf16",
                           "1,1,7,40,window=3:", "1,1,7,40,window=:0,soft_cap=2.5", "1,1,7,40,window=3:4"}) {
    const absl::StatusOr<Shape> shape = ParseShape(text);
    ASSERT_TRUE(shape.ok()) << shape.status();
    EXPECT_EQ(ToString(*shape), text);
  }
}

TEST(ShapeTest, SaysWhatIsWrong) {
  EXPECT_THAT(ParseShape("1,8,512").status().ToString(), HasSubstr("expected batch,heads,tokens,head_dim"));
  EXPECT_THAT(ParseShape("1,8,x,64").status().ToString(), HasSubstr("'x' is not a number"));
  EXPECT_THAT(ParseShape("1,8,512,64,casual").status().ToString(), HasSubstr("'casual' is no option"));
  EXPECT_THAT(ParseShape("1,8,512,64,window=3").status().ToString(), testing::Not(HasSubstr("no option")));
  EXPECT_THAT(ParseShape("1,8,512,64,window=-1:").status().ToString(), HasSubstr("no option"));
  EXPECT_THAT(ParseShape("1,8,512,64,kv_heads=3").status().ToString(), HasSubstr("num_kv_heads"));
  EXPECT_FALSE(ParseShape("1,8,512,1000").ok());
}

TEST(ShapeTest, ExpandsSets) {
  const absl::StatusOr<std::vector<Shape>> shapes = ParseShapes("mission  8,8,512,64");
  ASSERT_TRUE(shapes.ok()) << shapes.status();
  ASSERT_EQ(shapes->size(), 3U);
  EXPECT_EQ(ToString((*shapes)[1]), "1,8,512,64,causal");
  EXPECT_EQ(ToString((*shapes)[2]), "8,8,512,64");
  EXPECT_FALSE(ParseShapes(" ").ok());
}

TEST(ShapeTest, EverySetIsValid) {
  for (const ShapeSet& set : ShapeSets()) EXPECT_TRUE(ParseShapes(set.name).ok()) << set.name;
}

TEST(ShapeTest, CountsBytes) {
  const absl::StatusOr<Shape> shape = ParseShape("2,4,10,8,kv_heads=2,kv_len=5");
  ASSERT_TRUE(shape.ok());
  EXPECT_EQ(TensorBytes(*shape), 2U * (2 * 2 * 4 * 10 * 8 + 2 * 2 * 2 * 5 * 8));
}

}  // namespace
}  // namespace flashcore::bench
