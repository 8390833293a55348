// The ladder: every CUDA kernel by name. Each computes the same thing; the next rung is faster and less simple.
#ifndef FLASHCORE_KERNELS_CUDA_KERNEL_TABLE_H_
#define FLASHCORE_KERNELS_CUDA_KERNEL_TABLE_H_

#include <cuda_runtime_api.h>

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kernels/cuda/descriptor.h"
#include "kernels/cuda/fused_launch.h"

namespace flashcore::cuda {

struct Kernel {
  absl::string_view name;
  // What FusedSupports runs fused, on such a grid; the rest, or all if there is no grid, as below.
  std::optional<GridKind> fused_grid;
  int64_t rows_per_tile;
  // Loads the kernel's code onto the current device, so that no launch has to.
  cudaError_t (*load)();
  // Enqueues the batch, planned with rows_per_tile and with at least one tile, on the current device; does not wait.
  cudaError_t (*launch)(const BatchDescriptor<kFullBatch>& batch, cudaStream_t stream);
};

// Simplest first. Constant.
absl::Span<const Kernel> Kernels();

// The kernel of that name, or the server's choice for "auto"; nullptr if there is none.
const Kernel* FindKernel(absl::string_view name);

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_KERNEL_TABLE_H_
