// Makes a head_dim's fused kernels into entries. Included by two sources for each head_dim: tall tiles are compiled
// with an assembler that keeps the order of the source (CMakeLists.txt), narrow ones, whose main loops are short, are
// not.
#ifndef FLASHCORE_KERNELS_CUDA_FUSED_ENTRY_CUH_
#define FLASHCORE_KERNELS_CUDA_FUSED_ENTRY_CUH_

#include <cuda_runtime.h>

#include <algorithm>

#include "kernels/cuda/fused.h"
#include "kernels/cuda/fused_kernel.cuh"

namespace flashcore::cuda {

template <int kHeadDim, TileKind kKind>
struct FusedTileTag {
  static constexpr TileConfig kConfig = FusedTile(kHeadDim, kKind);
  static_assert(kConfig.SharedBytes() <= kMaxSharedBytes);
};

template <typename T, typename Tile, size_t kCapacity>
cudaError_t LoadFused() {
  return cudaFuncSetAttribute(FusedKernel<T, Tile, kCapacity>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              Tile::kConfig.SharedBytes());
}

template <typename T, typename Tile, size_t kCapacity>
cudaError_t LaunchFused(const FusedBatch<kCapacity>& batch, int grid, cudaStream_t stream) {
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(grid));
  config.blockDim = dim3(static_cast<unsigned>(Tile::kConfig.Threads()));
  config.dynamicSmemBytes = Tile::kConfig.SharedBytes();
  config.stream = stream;
  return cudaLaunchKernelEx(&config, FusedKernel<T, Tile, kCapacity>, batch);
}

template <typename T, typename Tile>
constexpr FusedKernelEntry MakeFusedEntry() {
  return {[] {
            const cudaError_t error = LoadFused<T, Tile, kOneProblem>();
            return error != cudaSuccess ? error : LoadFused<T, Tile, kFullBatch>();
          },
          [](const FusedBatch<kFullBatch>& batch, int grid, cudaStream_t stream) {
            if (batch.num_problems > static_cast<int>(kOneProblem)) return LaunchFused<T, Tile>(batch, grid, stream);
            FusedBatch<kOneProblem> one;
            one.num_problems = batch.num_problems;
            one.round_ctas = batch.round_ctas;
            one.by_round_ctas = batch.by_round_ctas;
            std::copy_n(batch.first_cta, kOneProblem + 1, one.first_cta);
            std::copy_n(batch.problems, kOneProblem, one.problems);
            return LaunchFused<T, Tile>(one, grid, stream);
          }};
}

template <int kHeadDim, TileKind kKind>
FusedKernelEntry FusedEntry(Element element) {
  using Tile = FusedTileTag<kHeadDim, kKind>;
  return element == Element::kHalf ? MakeFusedEntry<__half, Tile>() : MakeFusedEntry<__nv_bfloat16, Tile>();
}

template <int kHeadDim>
FusedKernelEntry FusedTallEntry(TileKind kind, Element element) {
  return kind == TileKind::kWide ? FusedEntry<kHeadDim, TileKind::kWide>(element)
                                 : FusedEntry<kHeadDim, TileKind::kMid>(element);
}

template <int kHeadDim>
FusedKernelEntry FusedNarrowEntry(TileKind kind, Element element) {
  return kind == TileKind::kShort ? FusedEntry<kHeadDim, TileKind::kShort>(element)
                                  : FusedEntry<kHeadDim, TileKind::kNarrow>(element);
}

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_FUSED_ENTRY_CUH_
