// Finds a tile's problem on the device; see the picture in descriptor.h.
#ifndef FLASHCORE_KERNELS_CUDA_BATCH_LOOKUP_CUH_
#define FLASHCORE_KERNELS_CUDA_BATCH_LOOKUP_CUH_

#include <cstdint>

#include "kernels/cuda/descriptor.h"

namespace flashcore::cuda {

// The last of `problems` whose first tile is not after `tile`, by bisection; `tile` is less than the number of tiles.
template <typename Tile>
__device__ inline int FindProblem(const Tile* first_tile, int problems, Tile tile) {
  int low = 0;
  int high = problems;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (first_tile[middle] <= tile) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

// Where a flat query row lies in [B, Hq, Sq], and the head of K and V that it reads.
struct RowPosition {
  int64_t batch;
  int64_t head;
  int64_t kv_head;
  int64_t row;
};

__device__ inline RowPosition LocateRow(const ProblemDescriptor& problem, int32_t flat_row) {
  const int32_t flat_head = flat_row / problem.q_len;
  const int32_t batch = flat_head / problem.num_qo_heads;
  const int32_t head = flat_head - batch * problem.num_qo_heads;
  return {batch, head, head / problem.heads_per_kv_head, flat_row - flat_head * problem.q_len};
}

// The keys [begin, end) that query `row` sees; begin >= end if it sees none.
struct KeySpan {
  int64_t begin;
  int64_t end;
};

__device__ inline KeySpan VisibleKeySpan(const ProblemDescriptor& problem, int64_t row) {
  const int64_t aligned_row = row + problem.kv_len - problem.q_len;
  return {max(aligned_row - problem.keys_before, int64_t{0}),
          min(aligned_row + problem.keys_after + 1, problem.kv_len)};
}

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_BATCH_LOOKUP_CUH_
