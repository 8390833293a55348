// The fused kernels, by what they are built for. fused_batch.h is what they are launched with.
#ifndef FLASHCORE_KERNELS_CUDA_FUSED_H_
#define FLASHCORE_KERNELS_CUDA_FUSED_H_

#include <cuda_runtime_api.h>

#include "kernels/cuda/fused_batch.h"
#include "kernels/cuda/fused_tiles.h"

namespace flashcore::cuda {

struct FusedKernelEntry {
  // Loads the code onto the current device and allows it its shared memory; before the first launch.
  cudaError_t (*load)();
  // Enqueues batch.first_cta[batch.num_problems] CTAs' work, at least one, on the current device, as `grid` CTAs; does
  // not wait. Problems all have the entry's element and at most its head_dim.
  cudaError_t (*launch)(const FusedBatch<kFullBatch>& batch, int grid, cudaStream_t stream);
};

// Of one head_dim, kWide and kMid...
FusedKernelEntry FusedTall32(TileKind kind, Element element);
FusedKernelEntry FusedTall64(TileKind kind, Element element);
FusedKernelEntry FusedTall96(TileKind kind, Element element);
FusedKernelEntry FusedTall128(TileKind kind, Element element);
FusedKernelEntry FusedTall192(TileKind kind, Element element);
FusedKernelEntry FusedTall256(TileKind kind, Element element);

// ...and kShort and kNarrow; each in its own source, for the build's sake. Constant.
FusedKernelEntry FusedNarrow32(TileKind kind, Element element);
FusedKernelEntry FusedNarrow64(TileKind kind, Element element);
FusedKernelEntry FusedNarrow96(TileKind kind, Element element);
FusedKernelEntry FusedNarrow128(TileKind kind, Element element);
FusedKernelEntry FusedNarrow192(TileKind kind, Element element);
FusedKernelEntry FusedNarrow256(TileKind kind, Element element);

// `head_dim` is one of kNativeHeadDims; `element` has 16 bits.
FusedKernelEntry FindFusedKernel(int head_dim, TileKind kind, Element element);

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_FUSED_H_
