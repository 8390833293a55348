#include "kernels/cuda/plan.h"

#include <algorithm>
#include <cassert>

namespace flashcore::cuda {
namespace {

Element ToElement(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return Element::kHalf;
    case DType::kBFloat16:
      return Element::kBfloat16;
    case DType::kFloat32:
      break;
  }
  return Element::kFloat;
}

TensorStrides ToTensorStrides(const Strides& strides) { return {strides.batch, strides.head, strides.row}; }

int64_t KeysBefore(const AttentionOptions& options) {
  return options.window_left < 0 ? kUnboundedKeys : std::min(options.window_left, kUnboundedKeys);
}

int64_t KeysAfter(const AttentionOptions& options) {
  if (options.causal) return 0;
  return options.window_right < 0 ? kUnboundedKeys : std::min(options.window_right, kUnboundedKeys);
}

ProblemDescriptor Describe(const AttentionProblem& problem) {
  assert(NumRows(problem) <= kMaxRows);
  ProblemDescriptor d;
  d.q = problem.q;
  d.k = problem.k;
  d.v = problem.v;
  d.o = problem.o;
  d.lse = problem.lse;
  d.q_strides = ToTensorStrides(problem.q_strides);
  d.k_strides = ToTensorStrides(problem.k_strides);
  d.v_strides = ToTensorStrides(problem.v_strides);
  d.o_strides = ToTensorStrides(problem.o_strides);
  d.rows = static_cast<int32_t>(NumRows(problem));
  d.num_qo_heads = static_cast<int32_t>(problem.num_qo_heads);
  d.heads_per_kv_head = static_cast<int32_t>(problem.num_qo_heads / problem.num_kv_heads);
  d.q_len = static_cast<int32_t>(problem.q_len);
  d.kv_len = problem.kv_len;
  d.keys_before = KeysBefore(problem.options);
  d.keys_after = KeysAfter(problem.options);
  d.head_dim = static_cast<int32_t>(problem.head_dim);
  d.element = ToElement(problem.dtype);
  d.sm_scale = problem.options.sm_scale;
  d.logits_soft_cap = problem.options.logits_soft_cap;
  return d;
}

int64_t TilesOf(const AttentionProblem& problem, const Tiling& tiling) {
  const auto tiles = [&tiling](int64_t rows) { return (rows + tiling.rows - 1) / tiling.rows; };
  if (!tiling.within_heads) return tiles(NumRows(problem));
  return problem.batch * problem.num_qo_heads * tiles(problem.q_len);
}

}  // namespace

void PlanBatch(absl::Span<const AttentionProblem> problems, const Tiling& tiling, BatchDescriptor<kFullBatch>& batch) {
  assert(problems.size() <= kFullBatch);
  batch.num_problems = static_cast<int64_t>(problems.size());
  batch.first_tile[0] = 0;
  for (size_t i = 0; i < problems.size(); ++i) {
    batch.problems[i] = Describe(problems[i]);
    batch.first_tile[i + 1] = batch.first_tile[i] + TilesOf(problems[i], tiling);
  }
}

void CopyBatch(const BatchDescriptor<kFullBatch>& from, BatchDescriptor<kSmallBatch>& to) {
  assert(from.num_problems <= static_cast<int64_t>(kSmallBatch));
  to.num_problems = from.num_problems;
  std::copy_n(from.first_tile, from.num_problems + 1, to.first_tile);
  std::copy_n(from.problems, from.num_problems, to.problems);
}

}  // namespace flashcore::cuda
