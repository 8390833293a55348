#include "client/verify/reference_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "client/load/mix.h"
#include "kernels/backends.h"

namespace flashcore {
namespace {

using ::testing::HasSubstr;

struct Case {
  MixEntry entry;
  Tensor q;
  Tensor k;
  Tensor v;
};

Case MakeCase(const std::string& text, uint64_t seed) {
  const MixEntry entry = ParseMix(text).value().front();
  return {.entry = entry,
          .q = Tensor::Random(entry.QuerySpec(), seed),
          .k = Tensor::Random(entry.KeyValueSpec(), seed + 1),
          .v = Tensor::Random(entry.KeyValueSpec(), seed + 2)};
}

ExpectedAnswer Expect(const Case& c) { return ComputeExpected(c.q, c.k, c.v, c.entry.options).value(); }

// An answer with these values, rounded to q's dtype.
AttendResult AnswerOf(const Case& c, const std::vector<float>& o, const std::vector<float>& lse) {
  AttendResult answer;
  answer.o = Tensor::FromFloats(c.q.spec(), o).value();
  answer.lse = Tensor::FromFloats({DType::kFloat32, {static_cast<int64_t>(lse.size())}}, lse).value();
  return answer;
}

class AcceptsTest : public testing::TestWithParam<const char*> {};

TEST_P(AcceptsTest, TheRoundedReferenceAndTheCpuBackend) {
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const Case c = MakeCase(GetParam(), seed);
    const ExpectedAnswer expected = Expect(c);
    EXPECT_TRUE(Check(expected, AnswerOf(c, expected.o, expected.lse)).right) << c.entry.text << " seed " << seed;

    const auto cpu = CreateCpuBackend(1).value();
    AttentionProblem problem = ToProblem(c.q, c.k, c.v, c.entry.options).value();
    std::vector<std::byte> o(c.q.size_bytes());
    std::vector<float> lse(expected.lse.size());
    problem.o = o.data();
    problem.lse = lse.data();
    ASSERT_TRUE(cpu->Launch({problem}, nullptr).ok());
    AttendResult answer;
    answer.o = Tensor::Borrow(c.q.spec(), o.data());
    answer.lse = Tensor::Borrow({DType::kFloat32, {static_cast<int64_t>(lse.size())}}, lse.data());
    const Verdict verdict = Check(expected, answer);
    EXPECT_TRUE(verdict.right) << c.entry.text << " seed " << seed << ": " << verdict.problem;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, AcceptsTest,
                         testing::Values("1,2,64,64", "1,2,64,64 bf16", "1,2,64,64 fp32", "1,1,1,8", "1,1,2,8 bf16",
                                         "2,4,2,33,57,40 bshd causal", "1,2,40,16 window_left=3 window_right=1",
                                         "1,2,40,16 soft_cap=5", "1,2,1,40,17,24 causal", "1,1,3,8 sm_scale=100"));

TEST(ReferenceCheckTest, SmallMistakesAreFound) {
  // Each is the size of a real bug: a scale, a mask, a head, a value that is one rounding too far.
  const Case c = MakeCase("1,2,64,64", 1);
  const ExpectedAnswer expected = Expect(c);
  const auto with = [&](const std::string& options) {
    const Case other{.entry = ParseMix("1,2,64,64 " + options)->front(), .q = c.q, .k = c.k, .v = c.v};
    const ExpectedAnswer wrong = Expect(other);
    return Check(expected, AnswerOf(c, wrong.o, wrong.lse));
  };
  EXPECT_TRUE(with("").right);
  EXPECT_FALSE(with("sm_scale=0.126").right);
  EXPECT_FALSE(with("causal").right);
  EXPECT_FALSE(with("window_left=62").right);
  EXPECT_FALSE(with("soft_cap=50").right);
}

TEST(ReferenceCheckTest, OneWrongElementIsFoundAndNamed) {
  const Case c = MakeCase("1,2,16,8", 2);
  const ExpectedAnswer expected = Expect(c);
  std::vector<float> o = expected.o;
  o[77] += 0.01f;
  const Verdict verdict = Check(expected, AnswerOf(c, o, expected.lse));
  EXPECT_FALSE(verdict.right);
  EXPECT_THAT(verdict.problem, HasSubstr("o[77]"));
  EXPECT_NEAR(verdict.max_error, 0.01, 0.001);
}

TEST(ReferenceCheckTest, AWrongLseIsFound) {
  const Case c = MakeCase("1,2,16,8", 2);
  const ExpectedAnswer expected = Expect(c);
  std::vector<float> lse = expected.lse;
  lse[5] *= 1.442695f;
  EXPECT_THAT(Check(expected, AnswerOf(c, expected.o, lse)).problem, HasSubstr("lse[5]"));
}

TEST(ReferenceCheckTest, MisplacedNansAndInfinitiesAreWrong) {
  const Case c = MakeCase("1,1,4,8 fp32", 3);
  const ExpectedAnswer expected = Expect(c);
  for (const float intruder : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> o = expected.o;
    o[3] = intruder;
    const Verdict verdict = Check(expected, AnswerOf(c, o, expected.lse));
    EXPECT_FALSE(verdict.right);
    EXPECT_TRUE(std::isinf(verdict.max_error));
  }
}

TEST(ReferenceCheckTest, RowsWithoutKeysAreZeroWithMinusInfinity) {
  const Case c = MakeCase("1,1,1,4,2,8 causal", 4);
  const ExpectedAnswer expected = Expect(c);
  EXPECT_EQ(expected.o[0], 0);
  EXPECT_EQ(expected.lse[0], -std::numeric_limits<float>::infinity());
  std::vector<float> lse = expected.lse;
  EXPECT_TRUE(Check(expected, AnswerOf(c, expected.o, lse)).right);
  lse[0] = -1e30f;
  EXPECT_FALSE(Check(expected, AnswerOf(c, expected.o, lse)).right);
}

TEST(ReferenceCheckTest, AnAnswerOfAnotherSizeIsWrong) {
  const Case c = MakeCase("1,1,4,8", 5);
  AttendResult answer;
  answer.o = Tensor::Random({DType::kFloat16, {1, 1, 3, 8}}, 1);
  EXPECT_THAT(Check(Expect(c), answer).problem, HasSubstr("24 elements instead of 32"));
}

TEST(ReferenceCheckTest, NamesTheFieldThatDoesNotFit) {
  const Tensor q = Tensor::Random({DType::kFloat16, {1, 4, 3, 8}}, 1);
  const std::vector<std::pair<TensorSpec, std::string>> cases = {
      {{DType::kFloat16, {4, 3, 8}}, "k.shape: has rank 3"},
      {{DType::kBFloat16, {1, 4, 3, 8}}, "dtype"},
      {{DType::kFloat16, {2, 4, 3, 8}}, "k.shape"},
      {{DType::kFloat16, {1, 4, 3, 16}}, "k.shape"},
      {{DType::kFloat16, {1, 3, 3, 8}}, "heads"},
  };
  for (const auto& [spec, complaint] : cases) {
    const Tensor k = Tensor::Random(spec, 2);
    const absl::Status status = ToProblem(q, k, k, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(), HasSubstr(complaint));
  }
  EXPECT_THAT(ToProblem(q, q, Tensor::Random({DType::kFloat16, {1, 4, 4, 8}}, 3), {}).status().message(),
              HasSubstr("v.shape"));
}

}  // namespace
}  // namespace flashcore
