// The fused kernels without a GPU: their own sources, on emulated CTAs (cta.h), against the reference. Arithmetic,
// masks, splits, merges and waits are what it can tell; not times, nor what only CTAs that run at once do.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/attention.h"
#include "kernels/cuda/fused_launch.h"
#include "kernels/cuda/fused_tiles.h"
#include "tests/kernels/emulation/cta.h"
#include "tests/kernels/emulation/emulated_batch.h"
#include "tests/kernels/harness.h"

namespace flashcore::testing {
namespace {

// The parameters are the head_dim and the elements' type.
class FusedEmulationTest : public ::testing::TestWithParam<std::tuple<int64_t, DType>> {
 protected:
  static int64_t head_dim() { return std::get<0>(GetParam()); }
  static ProblemSpec Spec(ProblemSpec spec, const AttentionOptions& options = {}) {
    std::tie(spec.head_dim, spec.dtype) = GetParam();
    spec.options = options;
    return spec;
  }

  // Shapes that differ in what they ask of a tile: heads that share keys, masks, layouts, rows and keys that do not
  // fill a step, or that are not there.
  static EmulatedBatch MixedBatch() {
    EmulatedBatch batch;
    batch.Add(Spec({.num_qo_heads = 4, .num_kv_heads = 1, .q_len = 3, .kv_len = 515}));
    batch.Add(Spec({.num_qo_heads = 2, .q_len = 139, .kv_len = 197}, {.causal = true}));
    batch.Add(Spec({.q_len = 40, .kv_len = 24}, {.causal = true}));
    batch.Add(Spec({.num_qo_heads = 2, .num_kv_heads = 1, .q_len = 35, .kv_len = 300, .layout = Layout::kBshd},
                   {.logits_soft_cap = 20.0F, .window_left = 50}));
    batch.Add(Spec({.batch = 2, .q_len = 17, .kv_len = 64, .return_lse = false}));
    batch.Add(Spec({.q_len = 70, .kv_len = 90, .row_gap = 8, .head_gap = 16}, {.window_left = 20, .window_right = 7}));
    batch.Add(Spec({.q_len = 1, .kv_len = 1}));
    batch.Add(Spec({.q_len = 5, .kv_len = 0}));
    batch.Add(Spec({.q_len = 66, .kv_len = 257, .q_scale = 4.0F, .k_scale = 4.0F}));
    batch.Add(Spec({.num_qo_heads = 3, .num_kv_heads = 1, .q_len = 21, .kv_len = 160, .q_scale = 0.05F},
                   {.causal = true, .logits_soft_cap = 5.0F}));
    return batch;
  }
};

TEST_P(FusedEmulationTest, EveryTileIsRight) {
  EmulatedBatch batch = MixedBatch();
  for (const EmulatedRun& run : EveryTile({1, 3})) batch.ExpectCorrect(run);
}

TEST_P(FusedEmulationTest, OneProblemIsRight) {
  EmulatedBatch batch = MixedBatch();
  size_t next = 0;
  for (const EmulatedRun& run : EveryTile({1, 2, 4})) {
    batch.ExpectCorrectAlone(next++ % batch.size(), run);
    batch.ExpectCorrectAlone(next++ % batch.size(), run);
  }
}

TEST_P(FusedEmulationTest, WhatIsPlannedIsRight) { MixedBatch().ExpectCorrect({.planned = true}); }

// The kernels' less beaten paths; with fewer parameters.
class FusedEmulationPathsTest : public FusedEmulationTest {};

TEST_P(FusedEmulationPathsTest, TheSameBitsInEveryOrderAndAlone) {
  EmulatedBatch batch = MixedBatch();
  for (int kind = 0; kind < cuda::kTileKinds; ++kind) {
    EmulatedRun run = {.kind = static_cast<cuda::TileKind>(kind), .splits = 3};
    const auto bits = batch.OutputBits(run);
    run.order = emulation::Order::kShuffled;
    EXPECT_EQ(batch.OutputBits(run), bits) << ::testing::PrintToString(run);
    run.grid = cuda::GridKind::kPersistent;
    run.order = emulation::Order::kBackward;
    for (const size_t problem : {0, 3, 9}) {
      EXPECT_EQ(batch.OutputBitsAlone(problem, run), bits[problem]) << problem << ": " << ::testing::PrintToString(run);
    }
  }
}

TEST_P(FusedEmulationPathsTest, TheLastTilesMaySplitAlone) {
  EmulatedBatch batch = MixedBatch();
  size_t next = 0;
  for (EmulatedRun run : EveryTile({2, 3})) {
    run.tail = true;
    batch.ExpectCorrect(run);
    batch.ExpectCorrectAlone(next++ % batch.size(), run);
  }
}

// Rows of which one key, early, in the middle or late, has so much larger a logit than the others.
TEST_P(FusedEmulationPathsTest, PeakedRowsAreRight) {
  struct Peak {
    int64_t row;
    int64_t key;
    int64_t column;
  };
  constexpr std::array<Peak, 5> kPeaks = {{{3, 0, 0}, {17, 123, 1}, {30, 199, 2}, {45, 30, 3}, {60, 64, 4}}};
  constexpr float kQuery = 8.0F;
  EmulatedBatch batch;
  for (const float logit : {4.0F, 80.0F}) {
    HostProblem& problem = batch.Add(Spec({.q_len = 64, .kv_len = 200}));
    for (const Peak& peak : kPeaks) {
      for (int64_t d = 0; d < head_dim(); ++d) {
        const bool high = d == peak.column;
        problem.SetQuery(0, 0, peak.row, d, high ? kQuery : 0.125F);
        problem.SetKey(0, 0, peak.key, d, high ? logit / (kQuery * DefaultScale(head_dim())) : 0.0F);
      }
    }
  }
  for (const EmulatedRun& run : EveryTile({1, 3})) batch.ExpectCorrect(run);
}

// Logits that rise or fall by so much from the first key to the last: origins that move often, once, or never.
TEST_P(FusedEmulationPathsTest, SlopesAreRight) {
  EmulatedBatch batch;
  for (const float range : {6.0F, 30.0F, 100.0F, -30.0F}) {
    const ProblemSpec spec = Spec({.q_len = 20, .kv_len = 330}, {.causal = range == 30.0F});
    HostProblem& problem = batch.Add(spec);
    for (int64_t row = 0; row < spec.q_len; ++row) problem.SetQuery(0, 0, row, 0, 1.0F / DefaultScale(head_dim()));
    for (int64_t key = 0; key < spec.kv_len; ++key) {
      const int64_t rank = range > 0.0F ? key : spec.kv_len - 1 - key;
      problem.SetKey(0, 0, key, 0, std::abs(range) * static_cast<float>(rank) / static_cast<float>(spec.kv_len));
    }
  }
  for (const EmulatedRun& run : EveryTile({1, 3})) batch.ExpectCorrect(run);
}

TEST_P(FusedEmulationPathsTest, BrokenValuesStayWhereTheyAreSeen) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const ProblemSpec shape = {.num_qo_heads = 2, .num_kv_heads = 1, .q_len = 60, .kv_len = 90};
  EmulatedBatch batch;
  HostProblem& causal = batch.Add(Spec(shape, {.causal = true}));
  HostProblem& window = batch.Add(Spec(shape, {.window_left = 20, .window_right = 7}));
  int64_t column = 0;
  for (const int64_t key : {0, 33, 64, 89}) {
    column = (column + 7) % head_dim();
    causal.SetValue(0, 0, key, column, kNan);
    window.SetValue(0, 0, key, column, kInf);
  }
  // The key that only the last query sees.
  batch.Add(Spec(shape, {.causal = true})).SetKey(0, 0, 89, 0, -kInf);
  HostProblem& capped = batch.Add(Spec(shape, {.causal = true, .logits_soft_cap = 20.0F}));
  capped.SetValue(0, 0, 60, 5, kInf);
  capped.SetQuery(0, 1, 33, 3, kNan);
  HostProblem& plain = batch.Add(Spec({.batch = 2, .num_qo_heads = 2, .num_kv_heads = 2, .q_len = 21, .kv_len = 50}));
  plain.SetQuery(0, 1, 5, 3, kInf);
  plain.SetKey(1, 0, 49, 4, kNan);
  plain.SetValue(0, 1, 7, 0, -kInf);
  for (const EmulatedRun& run : EveryTile({1, 3})) batch.ExpectCorrect(run);
}

std::string ParameterName(const ::testing::TestParamInfo<std::tuple<int64_t, DType>>& test) {
  const auto& [head_dim, dtype] = test.param;
  return std::string(Name(dtype)) + "Of" + std::to_string(head_dim);
}

INSTANTIATE_TEST_SUITE_P(Native, FusedEmulationTest,
                         ::testing::Combine(::testing::Values(32, 64, 96, 128, 192, 256),
                                            ::testing::Values(DType::kFloat16, DType::kBFloat16)),
                         ParameterName);

constexpr std::tuple<int64_t, DType> kPadded[] = {{8, DType::kBFloat16},
                                                  {40, DType::kFloat16},
                                                  {72, DType::kBFloat16},
                                                  {120, DType::kFloat16},
                                                  {200, DType::kFloat16}};
INSTANTIATE_TEST_SUITE_P(Padded, FusedEmulationTest, ::testing::ValuesIn(kPadded), ParameterName);

constexpr std::tuple<int64_t, DType> kOneEach[] = {
    {32, DType::kBFloat16},  {64, DType::kFloat16},  {96, DType::kBFloat16}, {128, DType::kFloat16},
    {192, DType::kBFloat16}, {256, DType::kFloat16}, {40, DType::kBFloat16}};
INSTANTIATE_TEST_SUITE_P(OneEach, FusedEmulationPathsTest, ::testing::ValuesIn(kOneEach), ParameterName);

}  // namespace
}  // namespace flashcore::testing
