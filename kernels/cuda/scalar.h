// The first rung: one warp for each query row, FP32 on the ordinary cores. Every option, every head_dim, no alignment
// beyond the element's. What the later rungs are read against.
#ifndef FLASHCORE_KERNELS_CUDA_SCALAR_H_
#define FLASHCORE_KERNELS_CUDA_SCALAR_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/descriptor.h"

namespace flashcore::cuda {

inline constexpr int64_t kScalarRowsPerTile = 4;

// As DescriptorKernel::load and DescriptorKernel::launch.
cudaError_t LoadScalar();
cudaError_t LaunchScalar(const BatchDescriptor<kFullBatch>& batch, cudaStream_t stream);

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_SCALAR_H_
