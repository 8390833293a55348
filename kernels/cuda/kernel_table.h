// The ladder: every CUDA kernel by name. Each computes the same thing; the next rung is faster and less simple.
#ifndef FLASHCORE_KERNELS_CUDA_KERNEL_TABLE_H_
#define FLASHCORE_KERNELS_CUDA_KERNEL_TABLE_H_

#include <cuda_runtime_api.h>

#include <optional>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kernels/cuda/descriptor.h"
#include "kernels/cuda/fused_launch.h"
#include "kernels/cuda/plan.h"

namespace flashcore::cuda {

// A kernel that is launched with a BatchDescriptor.
struct DescriptorKernel {
  Tiling tiling;
  // Loads the kernel's code onto the current device, so that no launch has to.
  cudaError_t (*load)();
  // Enqueues the batch, planned with `tiling` and with at least one tile, on the current device; does not wait.
  cudaError_t (*launch)(const BatchDescriptor<kFullBatch>& batch, cudaStream_t stream);
};

// The kernel that runs every problem: what another one cannot run is left to it.
const DescriptorKernel& ScalarKernel();

// A rung. What FusedSupports runs on the tensor cores, by one of the two ways; the rest, or everything if there is
// neither, on ScalarKernel().
struct Kernel {
  absl::string_view name;
  std::optional<GridKind> fused_grid;           // With the fused kernels, on such a grid.
  std::optional<DescriptorKernel> tensor_core;  // With this one.
};

// Simplest first. Constant.
absl::Span<const Kernel> Kernels();

// The kernel of that name, or the server's choice for "auto"; nullptr if there is none.
const Kernel* FindKernel(absl::string_view name);

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_KERNEL_TABLE_H_
