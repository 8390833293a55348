#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "kernels/cuda/plan.h"

namespace flashcore::cuda {
namespace {

using ::testing::ElementsAre;

AttentionProblem Shape(int64_t batch, int64_t heads, int64_t q_len, int64_t kv_len) {
  AttentionProblem problem;
  problem.batch = batch;
  problem.num_qo_heads = problem.num_kv_heads = heads;
  problem.q_len = q_len;
  problem.kv_len = kv_len;
  problem.head_dim = 64;
  problem.options.sm_scale = 0.125F;
  return problem;
}

std::unique_ptr<BatchDescriptor<kFullBatch>> Plan(const std::vector<AttentionProblem>& problems, int64_t rows_per_tile,
                                                  bool within_heads = false) {
  auto batch = std::make_unique<BatchDescriptor<kFullBatch>>();
  PlanBatch(problems, {rows_per_tile, within_heads}, *batch);
  return batch;
}

std::vector<int64_t> FirstTiles(const BatchDescriptor<kFullBatch>& batch) {
  return {batch.first_tile, batch.first_tile + batch.num_problems + 1};
}

TEST(CudaPlanTest, TilesNeverSpanProblems) {
  // 2 * 3 * 5 = 30 rows, none, 1 row, 17 rows.
  const auto batch = Plan({Shape(2, 3, 5, 7), Shape(1, 8, 0, 9), Shape(1, 1, 1, 1), Shape(1, 1, 17, 0)}, 4);
  EXPECT_EQ(batch->num_problems, 4);
  EXPECT_THAT(FirstTiles(*batch), ElementsAre(0, 8, 8, 9, 14));
  EXPECT_EQ(NumTiles(*batch), 14);
}

TEST(CudaPlanTest, TheTileHeightIsTheKernels) {
  const std::vector<AttentionProblem> problems = {Shape(1, 1, 64, 1), Shape(1, 1, 65, 1)};
  EXPECT_THAT(FirstTiles(*Plan(problems, 1)), ElementsAre(0, 64, 129));
  EXPECT_THAT(FirstTiles(*Plan(problems, 64)), ElementsAre(0, 1, 3));
}

TEST(CudaPlanTest, TilesNeverSpanHeadsWhereTheKernelSaysSo) {
  // 6 heads of 5 rows, 8 of none, 1 of 17.
  const auto batch = Plan({Shape(2, 3, 5, 7), Shape(1, 8, 0, 9), Shape(1, 1, 17, 0)}, 4, /*within_heads=*/true);
  EXPECT_THAT(FirstTiles(*batch), ElementsAre(0, 12, 12, 17));
}

TEST(CudaPlanTest, NothingToDoMeansNoTiles) {
  EXPECT_EQ(NumTiles(*Plan({}, 4)), 0);
  EXPECT_EQ(NumTiles(*Plan({Shape(4, 4, 0, 4), Shape(4, 4, 0, 0)}, 4)), 0);
}

TEST(CudaPlanTest, AFullBatchHasRoom) {
  const std::vector<AttentionProblem> problems(kMaxBatchProblems, Shape(1, 2, 6, 6));
  const auto batch = Plan(problems, 4);
  EXPECT_EQ(batch->num_problems, static_cast<int64_t>(kMaxBatchProblems));
  EXPECT_EQ(NumTiles(*batch), static_cast<int64_t>(kMaxBatchProblems) * 3);
}

TEST(CudaPlanTest, ABatchThatIsPlannedAgainStartsAnew) {
  const auto batch = Plan({Shape(1, 1, 8, 1), Shape(1, 1, 8, 1)}, 4);
  batch->first_tile[0] = 7;
  const std::vector<AttentionProblem> problems = {Shape(1, 1, 5, 1)};
  PlanBatch(problems, {4, false}, *batch);
  EXPECT_THAT(FirstTiles(*batch), ElementsAre(0, 2));
}

TEST(CudaPlanTest, EveryTensorKeepsItsPlace) {
  constexpr size_t kTensors = 5;
  float memory[kTensors] = {};
  AttentionProblem problem = Shape(1, 1, 1, 1);
  problem.q = &memory[0];
  problem.k = &memory[1];
  problem.v = &memory[2];
  problem.o = &memory[3];
  problem.lse = &memory[4];
  const auto batch = Plan({problem}, 4);
  EXPECT_EQ(batch->problems[0].q, problem.q);
  EXPECT_EQ(batch->problems[0].k, problem.k);
  EXPECT_EQ(batch->problems[0].v, problem.v);
  EXPECT_EQ(batch->problems[0].o, problem.o);
  EXPECT_EQ(batch->problems[0].lse, problem.lse);
}

TEST(CudaPlanTest, ManyLargeProblemsDoNotOverflowTheTable) {
  const std::vector<AttentionProblem> problems(kMaxBatchProblems, Shape(1, 1, kMaxRows, 0));
  EXPECT_EQ(NumTiles(*Plan(problems, 1)), static_cast<int64_t>(kMaxBatchProblems) * kMaxRows);
}

TEST(CudaPlanTest, DescribesTheProblem) {
  AttentionProblem problem = Shape(2, 8, 5, 7);
  problem.num_kv_heads = 2;
  problem.dtype = DType::kBFloat16;
  problem.options.logits_soft_cap = 30.0F;
  problem.q_strides = {.batch = int64_t{1} << 40, .head = 2, .row = 3};
  problem.k_strides = {.batch = 4, .head = 5, .row = 6};
  problem.v_strides = {.batch = 7, .head = 8, .row = 9};
  problem.o_strides = {.batch = 10, .head = 11, .row = 12};
  float tensor = 0;
  problem.q = problem.k = problem.v = problem.o = problem.lse = &tensor;

  const auto batch = Plan({problem}, 4);
  const ProblemDescriptor& d = batch->problems[0];
  EXPECT_EQ(d.rows, 2 * 8 * 5);
  EXPECT_EQ(d.num_qo_heads, 8);
  EXPECT_EQ(d.heads_per_kv_head, 4);
  EXPECT_EQ(d.q_len, 5);
  EXPECT_EQ(d.kv_len, 7);
  EXPECT_EQ(d.head_dim, 64);
  EXPECT_EQ(d.element, Element::kBfloat16);
  EXPECT_EQ(d.sm_scale, 0.125F);
  EXPECT_EQ(d.logits_soft_cap, 30.0F);
  EXPECT_EQ(d.q_strides.batch, int64_t{1} << 40);
  EXPECT_EQ(d.k_strides.head, 5);
  EXPECT_EQ(d.v_strides.row, 9);
  EXPECT_EQ(d.o_strides.head, 11);
  EXPECT_EQ(d.lse, &tensor);
}

// The device's rule for visible keys, on what the descriptor says, against the public VisibleKeys.
KeyRange DescribedKeys(const ProblemDescriptor& d, int64_t row) {
  const int64_t aligned_row = row + d.kv_len - d.q_len;
  const int64_t begin = std::max<int64_t>(aligned_row - d.keys_before, 0);
  const int64_t end = std::min(aligned_row + d.keys_after + 1, d.kv_len);
  return begin < end ? KeyRange{begin, end} : KeyRange{};
}

void ExpectTheSameKeys(const AttentionProblem& problem) {
  const auto batch = Plan({problem}, 4);
  for (int64_t row = 0; row < problem.q_len; ++row) {
    KeyRange want = VisibleKeys(problem, row);
    if (want.begin == want.end) want = {};
    const KeyRange got = DescribedKeys(batch->problems[0], row);
    ASSERT_TRUE(got.begin == want.begin && got.end == want.end)
        << "causal " << problem.options.causal << " window " << problem.options.window_left << ","
        << problem.options.window_right << " kv_len " << problem.kv_len << " row " << row;
  }
}

TEST(CudaPlanTest, MasksBecomeTwoBounds) {
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  for (const bool causal : {false, true}) {
    for (const int64_t left : {int64_t{-1}, int64_t{0}, int64_t{3}, kHuge}) {
      for (const int64_t right : {int64_t{-1}, int64_t{0}, int64_t{2}, kHuge}) {
        for (const int64_t kv_len : {0, 1, 4, 9, 20}) {
          AttentionProblem problem = Shape(1, 1, 9, kv_len);
          problem.options.causal = causal;
          problem.options.window_left = left;
          problem.options.window_right = right;
          ExpectTheSameKeys(problem);
        }
      }
    }
  }
}

TEST(CudaPlanTest, CopiesBetweenCapacities) {
  const auto full = Plan({Shape(2, 3, 5, 7), Shape(1, 8, 3, 9)}, 4);
  BatchDescriptor<kSmallBatch> small;
  CopyBatch(*full, small);
  EXPECT_EQ(small.num_problems, 2);
  EXPECT_EQ(small.first_tile[1], full->first_tile[1]);
  EXPECT_EQ(small.first_tile[2], full->first_tile[2]);
  EXPECT_EQ(small.problems[1].kv_len, 9);
}

}  // namespace
}  // namespace flashcore::cuda
