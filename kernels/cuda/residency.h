// How many CTAs of a fused kernel a plan may count on having on a multiprocessor at once.
#ifndef FLASHCORE_KERNELS_CUDA_RESIDENCY_H_
#define FLASHCORE_KERNELS_CUDA_RESIDENCY_H_

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/tile_config.h"

namespace flashcore::cuda {

// Of compute capability 8.9, the least of those that there is native code for.
inline constexpr int64_t kMinSharedBytesPerSm = int64_t{100} * 1024;
// Every CTA takes this much shared memory beyond its own.
inline constexpr int64_t kReservedSharedBytes = 1024;

// Of registers, on every compute capability from 8.0 on; no thread has more than 255.
inline constexpr int64_t kThreadsWithAllRegisters = 65536 / 256;

// As many as the registers are bounded for, or suffice for whatever the bound, as far as shared memory holds them; at
// least 1. The build's resource gate holds what ptxas makes of each kernel to it.
constexpr int ResidentCtas(const TileConfig& tile, int64_t shared_bytes_per_sm) {
  const int64_t by_memory = shared_bytes_per_sm / (tile.SharedBytes() + kReservedSharedBytes);
  const int64_t by_registers = std::max<int64_t>(kThreadsWithAllRegisters / tile.Threads(), tile.min_ctas);
  return static_cast<int>(std::clamp<int64_t>(by_memory, 1, by_registers));
}

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_RESIDENCY_H_
