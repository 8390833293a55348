// Which rows and keys a CTA of a fused kernel works on. fused_batch.h names the parts.
#ifndef FLASHCORE_KERNELS_CUDA_FUSED_WORK_CUH_
#define FLASHCORE_KERNELS_CUDA_FUSED_WORK_CUH_

#include <cstdint>

#include "kernels/cuda/batch_lookup.cuh"
#include "kernels/cuda/fused_batch.h"
#include "kernels/cuda/tile_order.h"

namespace flashcore::cuda {

// Where a packed row of a unit lies.
struct PackedRow {
  int query;
  int head_in_group;
};
__device__ inline PackedRow LocatePackedRow(const FusedProblem& problem, int row) {
  const int query = Quotient(row, problem.by_group);
  return {query, row - query * problem.group};
}

// The keys [begin, end) that a query sees; begin >= end if it sees none.
struct FusedKeySpan {
  int begin;
  int end;
};
__device__ inline FusedKeySpan VisibleKeys(const FusedProblem& problem, int query) {
  const int aligned = query + problem.kv_len - problem.q_len;
  return {max(aligned - problem.keys_before, 0), min(aligned + problem.keys_after + 1, problem.kv_len)};
}

// Whether some row does not see some key.
__device__ inline bool HasMask(const FusedProblem& problem) {
  return problem.keys_before < problem.kv_len - 1 || problem.keys_after < problem.q_len - 1;
}

struct FusedWork {
  int batch;
  int kv_head;
  int split_tile;  // As in TilePlace.
  int split;
  int splits;     // That the tile has keys for; at least 1.
  int first_row;  // Of the unit.
  int begin;      // Keys that any row of the tile sees, of this CTA's split: [begin, end).
  int end;

  // A problem's shorter tiles have fewer splits than its longest.
  __device__ bool Exists(const FusedProblem& problem) const { return problem.splits == 1 || split < splits; }
};

// `cta` counts the problem's CTAs.
template <int kRows>
__device__ FusedWork FindWork(const FusedProblem& problem, int cta) {
  const TilePlace place = PlaceOfCta(problem, cta);
  FusedWork work;
  work.batch = Quotient(place.unit, problem.by_kv_heads);
  work.kv_head = place.unit - work.batch * problem.num_kv_heads;
  work.split_tile = place.split_tile;
  work.split = place.split;
  work.first_row = place.tile * kRows;
  const int last_row = min(work.first_row + kRows, problem.rows_per_unit) - 1;
  work.begin = VisibleKeys(problem, Quotient(work.first_row, problem.by_group)).begin;
  work.end = VisibleKeys(problem, Quotient(last_row, problem.by_group)).end;
  work.splits = 1;
  if (problem.splits > 1 && work.split_tile >= 0) {
    work.splits = max((work.end - work.begin + problem.keys_per_split - 1) / problem.keys_per_split, 1);
    work.begin += work.split * problem.keys_per_split;
    work.end = min(work.end, work.begin + problem.keys_per_split);
  }
  return work;
}

// The keys that every row of a tile sees; empty if no key is. Of the tile's whole keys, not of a split's.
template <int kRows>
__device__ KeySpan SeenByAll(const FusedProblem& problem, const FusedWork& work) {
  const int last_row = min(work.first_row + kRows, problem.rows_per_unit) - 1;
  return {VisibleKeys(problem, Quotient(last_row, problem.by_group)).begin,
          VisibleKeys(problem, Quotient(work.first_row, problem.by_group)).end};
}

// Bytes from a tensor's start to a chunk of one of its rows.
__device__ inline int64_t ChunkOffset(const FusedStrides& strides, int batch, int head, int row, int chunk) {
  constexpr int kChunkBytes = 16;
  const int64_t chunks = int64_t{batch} * strides.batch + int64_t{head} * strides.head + int64_t{row} * strides.row;
  return (chunks + chunk) * kChunkBytes;
}

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_FUSED_WORK_CUH_
