// The engine of the CUDA backend: page-locked staging, and lanes that each own a stream and a device arena, so that one
// batch's copies overlap another's kernel. Present only in builds with CUDA.
#ifndef FLASHCORE_SERVER_ENGINE_CUDA_ENGINE_H_
#define FLASHCORE_SERVER_ENGINE_CUDA_ENGINE_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "kernels/attention.h"
#include "server/engine/engine.h"

namespace flashcore {

// Page-locked memory that every GPU reaches; takes the memory from the machine at once. RESOURCE_EXHAUSTED for want of
// memory to lock.
absl::StatusOr<std::shared_ptr<HostArena>> CreatePinnedArena(size_t capacity_bytes);

// `backend` computes on the device `device_ordinal`; `arena` is pinned. Each lane takes `max_batch_bytes` of that
// device's memory and a little more.
//
// Lane::Run sleeps while the device works. A spinning wait would answer some microseconds sooner, at the price of one
// core for each lane: on a small machine those are the cores that serve the network.
//
// A CUDA error spoils the process's context: the lane that meets it, and by then every other, fails with INTERNAL from
// there on.
std::unique_ptr<Engine> CreateCudaEngine(std::unique_ptr<AttentionBackend> backend, std::shared_ptr<HostArena> arena,
                                         int device_ordinal, int64_t max_batch_bytes);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_ENGINE_CUDA_ENGINE_H_
