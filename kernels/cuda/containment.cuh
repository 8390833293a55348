// Keeps a NaN or an infinity of V from rows that do not see its key. The tensor cores multiply V of a masked key by
// weight zero, and zero times infinity is NaN. Nothing is done about it where the products are: that would cost every
// step. Instead a CTA whose tile a mask crosses asks whether it has stored NaN, and if so
//
//   finds the columns that are NaN by right, because a key that every row of the tile sees has it there;
//   computes the rows that have NaN in another column again, each from the keys that it sees (scalar_row.cuh).
//
// The first step spares the second, a hundred times slower than the tensor cores, where one broken token is seen by all
// that follow; then at most the tiles on the edge of some key's visibility take it.
#ifndef FLASHCORE_KERNELS_CUDA_CONTAINMENT_CUH_
#define FLASHCORE_KERNELS_CUDA_CONTAINMENT_CUH_

#include <cstdint>

#include "kernels/cuda/batch_lookup.cuh"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/scalar_row.cuh"

namespace flashcore::cuda {

// A row of a tile, in device memory.
template <typename T>
struct TileRow {
  const T* q;
  T* o;
  KeySpan keys;  // That it sees.
};

// Sets nan_by_right[column] where every row of the tile has to be NaN. `seen_by_all`: the keys that every row sees.
template <int kSlots, typename T>
__device__ void FindNanByRight(const KeysValues<T>& kv, const KeySpan& seen_by_all, bool* nan_by_right) {
  const int lane = ThreadIndex() % kWarpSize;
  const int warps = static_cast<int>(blockDim.x) / kWarpSize;
  for (int column = ThreadIndex(); column < kSlots * kWarpSize; column += static_cast<int>(blockDim.x)) {
    nan_by_right[column] = false;
  }
  // All columns are cleared.
  __syncthreads();
#pragma unroll 1
  for (int64_t key = seen_by_all.begin + ThreadIndex() / kWarpSize; key < seen_by_all.end; key += warps) {
    LaneElements<kSlots> k;
    LaneElements<kSlots> v;
    k.Load(kv.k + key * kv.k_row_stride, kv.head_dim, lane);
    v.Load(kv.v + key * kv.v_row_stride, kv.head_dim, lane);
    // An infinity of K may be a weight of zero; of V it is at least itself.
    const bool broken_key = __any_sync(kAllLanes, k.HasNan());
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
      if (broken_key || !isfinite(v.element[slot])) nan_by_right[lane + slot * kWarpSize] = true;
    }
  }
}

// Mends the tile's rows. By all threads of the CTA together, after they have stored O and are done with `shared`, which
// holds kSlots * 32 bytes; head_dim is at most kSlots * 32. `row_at(i)` is the TileRow of row i.
template <int kSlots, typename T, typename RowAt>
__device__ void ContainNan(const KeysValues<T>& kv, const KeySpan& seen_by_all, int rows, void* shared,
                           RowAt&& row_at) {
  bool* nan_by_right = static_cast<bool*>(shared);
  FindNanByRight<kSlots>(kv, seen_by_all, nan_by_right);
  // The columns are complete.
  __syncthreads();
  const int lane = ThreadIndex() % kWarpSize;
#pragma unroll 1
  for (int i = ThreadIndex() / kWarpSize; i < rows; i += static_cast<int>(blockDim.x) / kWarpSize) {
    const TileRow<T> at = row_at(i);
    LaneElements<kSlots> stored;
    LaneElements<kSlots> query;
    stored.Load(at.o, kv.head_dim, lane);
    query.Load(at.q, kv.head_dim, lane);
    bool suspect = false;
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
      suspect = suspect || (isnan(stored.element[slot]) && !nan_by_right[lane + slot * kWarpSize]);
    }
    if (!__any_sync(kAllLanes, suspect) || __any_sync(kAllLanes, query.HasNan())) continue;
    const ScalarRow<kSlots> row = AttendKeys(kv, query, at.keys, lane);
    row.weighted_v.Store(at.o, kv.head_dim, lane, row.Normaliser(at.keys));
  }
}

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_CONTAINMENT_CUH_
