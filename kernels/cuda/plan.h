// From problems to what a kernel is launched with. Pure host functions: no device is needed, or asked.
#ifndef FLASHCORE_KERNELS_CUDA_PLAN_H_
#define FLASHCORE_KERNELS_CUDA_PLAN_H_

#include <cstdint>

#include "absl/types/span.h"
#include "kernels/attention.h"
#include "kernels/cuda/descriptor.h"

namespace flashcore::cuda {

static_assert(kFullBatch == kMaxBatchProblems);

// B * Hq * Sq of a valid problem.
inline int64_t NumRows(const AttentionProblem& problem) { return problem.batch * problem.num_qo_heads * problem.q_len; }

// How a kernel cuts problems into tiles.
struct Tiling {
  int64_t rows = 0;           // Query rows of a tile; > 0.
  bool within_heads = false;  // A tile's rows are of one head and one batch entry, else only of one problem.
};

// Fills `batch` from at most kMaxBatchProblems valid problems of at most kMaxRows rows each. Entries past the last
// problem are left as they are.
void PlanBatch(absl::Span<const AttentionProblem> problems, const Tiling& tiling, BatchDescriptor<kFullBatch>& batch);

// Number of tiles; 0: there is nothing to launch.
inline int64_t NumTiles(const BatchDescriptor<kFullBatch>& batch) { return batch.first_tile[batch.num_problems]; }

// Copies the problems in use into a descriptor of another capacity, which must be large enough.
void CopyBatch(const BatchDescriptor<kFullBatch>& from, BatchDescriptor<kSmallBatch>& to);

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_PLAN_H_
