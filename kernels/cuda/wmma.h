// The second rung: both matrix products on the tensor cores through nvcuda::wmma, everything else through shared
// memory. FP16 and BF16; every option. What it cannot run (FusedSupports says) is left to the scalar kernel.
#ifndef FLASHCORE_KERNELS_CUDA_WMMA_H_
#define FLASHCORE_KERNELS_CUDA_WMMA_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/descriptor.h"

namespace flashcore::cuda {

// Of one head: all rows of a tile read the same keys.
inline constexpr int64_t kWmmaRowsPerTile = 32;

// As DescriptorKernel::load and DescriptorKernel::launch.
cudaError_t LoadWmma();
cudaError_t LaunchWmma(const BatchDescriptor<kFullBatch>& batch, cudaStream_t stream);

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_WMMA_H_
