// Attention in one kernel, on the tensor cores: O = softmax(mask(Q K^T)) V for one tile of rows in each CTA.
//
// Needs: 16-bit elements; rows of Q, K, V and O that start on 16 bytes; head_dim a multiple of 8, at most the
// configuration's.
#ifndef FLASHCORE_KERNELS_CUDA_FUSED_KERNEL_CUH_
#define FLASHCORE_KERNELS_CUDA_FUSED_KERNEL_CUH_

#include <cstddef>

#include "kernels/cuda/fused_batch.h"
#include "kernels/cuda/fused_work.cuh"
#include "kernels/cuda/short_tile.cuh"
#include "kernels/cuda/tall_tile.cuh"
#include "kernels/cuda/tile_config.h"

namespace flashcore::cuda {

// `Tile` holds its configuration as Tile::kConfig: nvcc 13.0 cannot launch kernels that take it as a template argument.
// A grid smaller than the batch's number of CTAs makes each CTA do its share of their work, longest first.
template <typename T, typename Tile, size_t kCapacity>
__global__ void __launch_bounds__(Tile::kConfig.Threads(), Tile::kConfig.min_ctas)
    FusedKernel(const __grid_constant__ FusedBatch<kCapacity> batch) {
  extern __shared__ __align__(128) unsigned char shared[];
  // One problem is known to be the first: its description is read at addresses that the compiler knows.
  const int ctas = batch.first_cta[kCapacity == kOneProblem ? 1 : batch.num_problems];
  for (int place = static_cast<int>(blockIdx.x); place < ctas; place += static_cast<int>(gridDim.x)) {
    const int cta = CtaInPlace(place, ctas, batch.round_ctas, batch.by_round_ctas);
    const int index = kCapacity == kOneProblem ? 0 : FindProblem(batch.first_cta, batch.num_problems, cta);
    const FusedProblem& problem = batch.problems[index];
    if constexpr (Tile::kConfig.key_groups > 1) {
      AttendShort<T, Tile::kConfig>(problem, cta - batch.first_cta[index], shared);
    } else {
      AttendTall<T, Tile::kConfig>(problem, cta - batch.first_cta[index], shared);
    }
    // Every warp is done with shared memory: the next tile may have it.
    __syncthreads();
  }
}

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_FUSED_KERNEL_CUH_
