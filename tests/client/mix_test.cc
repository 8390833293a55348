#include "client/load/mix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "client/load/workload.h"

namespace flashcore {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(MixTest, AShapeAlone) {
  const std::vector<MixEntry> mix = ParseMix("1,8,512,64").value();
  ASSERT_THAT(mix, SizeIs(1));
  EXPECT_THAT(mix[0].QuerySpec().shape, ElementsAre(1, 8, 512, 64));
  EXPECT_EQ(mix[0].QuerySpec(), mix[0].KeyValueSpec());
  EXPECT_EQ(mix[0].dtype, DType::kFloat16);
  EXPECT_EQ(mix[0].priority, std::nullopt);
  EXPECT_EQ(mix[0].weight, 1);
  EXPECT_FALSE(mix[0].options.causal);
  EXPECT_FALSE(mix[0].options.sm_scale.has_value());
  EXPECT_EQ(mix[0].options.window_left, -1);
}

TEST(MixTest, EveryOption) {
  const MixEntry entry = ParseMix(
                             "2,16,4,128,384,96 bf16 bshd causal lse window_left=7 window_right=0 soft_cap=30 "
                             "sm_scale=0.5 priority=low weight=2.5")
                             .value()
                             .front();
  EXPECT_THAT(entry.QuerySpec().shape, ElementsAre(2, 128, 16, 96));
  EXPECT_THAT(entry.KeyValueSpec().shape, ElementsAre(2, 384, 4, 96));
  EXPECT_EQ(entry.QuerySpec().layout, Layout::kBshd);
  EXPECT_EQ(entry.dtype, DType::kBFloat16);
  EXPECT_TRUE(entry.options.causal);
  EXPECT_TRUE(entry.options.return_lse);
  EXPECT_EQ(entry.options.window_left, 7);
  EXPECT_EQ(entry.options.window_right, 0);
  EXPECT_EQ(entry.options.logits_soft_cap, 30);
  EXPECT_EQ(entry.options.sm_scale, 0.5f);
  EXPECT_EQ(entry.priority, Priority::kLow);
  EXPECT_EQ(entry.weight, 2.5);
}

TEST(MixTest, EntriesAndComments) {
  const std::vector<MixEntry> mix =
      ParseMix("# ours\n1,1,1,8; 2,2,2,16 causal # why; not\n\n  3,3,3,8\t lse\r\n").value();
  ASSERT_THAT(mix, SizeIs(3));
  EXPECT_EQ(mix[1].text, "2,2,2,16 causal");
  EXPECT_TRUE(mix[2].options.return_lse);
}

TEST(MixTest, MistakesAreNamed) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "has no entry"},
      {" ; # nothing", "has no entry"},
      {"1,8,512", "'1,8,512' has 3 sizes"},
      {"1,8,512,64,5", "has 5 sizes"},
      {"1,8,x,64", "is no shape"},
      {"1,8,-512,64", "is no shape"},
      {"1,8,,64", "is no shape"},
      {"causal 1,8,512,64", "'causal' is no shape"},
      {"1,8,512,64 fp8", "'fp8' is no option"},
      {"1,8,512,64 causal=1", "'causal=1' is no option"},
      {"1,8,512,64 window_left", "'window_left' is no option"},
      {"1,8,512,64 window_left=x", "'window_left=x' is no option"},
      {"1,8,512,64 priority=urgent", "'priority=urgent' is no option"},
      {"1,8,512,64 weight=0", "'weight=0' is no option"},
      {"1,8,512,64 weight=2=3", "'weight=2=3' is no option"},
      {"1,8,512,64 weight=nan", "'weight=nan' is no option"},
      {"1,1,1,8; 9000000000,9000000000,1,1", "more bytes than"},
  };
  for (const auto& [text, complaint] : cases) {
    const absl::Status status = ParseMix(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(status.message(), HasSubstr(complaint)) << text;
  }
}

TEST(MixTest, BuiltInMixesParse) {
  for (const NamedMix& mix : BuiltInMixes()) EXPECT_TRUE(LoadMix(mix.name).ok()) << mix.name;
}

TEST(MixTest, FromAFile) {
  const std::string path = testing::TempDir() + "/flashcore_mix_test.txt";
  std::ofstream(path) << "1,1,1,8\n1,2,3,16 lse\n";
  EXPECT_THAT(LoadMix("@" + path).value(), SizeIs(2));
  EXPECT_EQ(LoadMix("@" + path + ".missing").status().code(), absl::StatusCode::kNotFound);
}

TEST(WorkloadTest, PicksByWeightAndVariesTensors) {
  constexpr uint64_t kSeed = 3;
  constexpr double kPicks = 4000;
  std::printf("seed %llu\n", static_cast<unsigned long long>(kSeed));
  const Workload workload = Workload::Create(ParseMix("1,1,1,8 weight=3; 1,1,2,8 weight=1").value(),
                                             {.variants = 2, .seed = kSeed, .threads = 2}, [](int, int) {})
                                .value();
  ASSERT_THAT(workload.requests(), SizeIs(4));
  std::mt19937_64 random(kSeed);
  std::vector<int> picked(4);
  for (int i = 0; i < static_cast<int>(kPicks); ++i)
    ++picked[static_cast<size_t>(&workload.Pick(random) - workload.requests().data())];
  EXPECT_NEAR(picked[0] + picked[1], kPicks * 3 / 4, kPicks / 20);
  EXPECT_NEAR(picked[0], kPicks * 3 / 8, kPicks / 20);
  EXPECT_NEAR(picked[3], kPicks / 8, kPicks / 20);
  EXPECT_NE(workload.requests()[0].q.ToFloats(), workload.requests()[1].q.ToFloats());
}

TEST(WorkloadTest, RequestsThatTheReferenceRefusesHaveNoExpectedAnswer) {
  const Workload workload = Workload::Create(ParseMix("1,3,2,8,8,8; 1,2,2,8").value(),
                                             {.variants = 1, .expected_answers = true}, [](int, int) {})
                                .value();
  EXPECT_FALSE(workload.requests()[0].expected.has_value());
  EXPECT_TRUE(workload.requests()[1].expected.has_value());
  EXPECT_GT(workload.requests()[1].flops, 0);
  EXPECT_EQ(workload.total_bytes(), (3 * 8 + 2 * 2 * 8) * 8 * 2 + 3 * 2 * 2 * 8 * 2);
}

TEST(MixTest, TheExampleFileIsAMix) {
  const std::vector<MixEntry> mix = LoadMix("@" FLASHCORE_EXAMPLE_MIX).value();
  ASSERT_EQ(mix.size(), 5U);
  EXPECT_EQ(mix[0].num_kv_heads, 8);
  EXPECT_EQ(mix[0].kv_len, 4096);
  EXPECT_EQ(mix[4].options.window_left, 128);
}

}  // namespace
}  // namespace flashcore
