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
// To enqueue a copy takes the CPU longer than the device takes for a small one. So inputs of up to kInPlaceInputBytes
// and outputs of up to kInPlaceOutputBytes, in all of a batch, stay in host memory, where kernels reach them over the
// bus: outputs are written once, inputs may be read many times. Such a batch has no upload or download of its own.
//
// Lane::Run sleeps while the device works, and to wake up takes some fifty microseconds. One lane at a time looks out
// for the end of its batch instead, for `lane_poll_ns` at most; it yields its CPU to whoever wants it.
//
// A CUDA error spoils the process's context: the lane that meets it, and by then every other, fails with INTERNAL from
// there on.
std::unique_ptr<Engine> CreateCudaEngine(std::unique_ptr<AttentionBackend> backend, std::shared_ptr<HostArena> arena,
                                         int device_ordinal, int64_t max_batch_bytes, int64_t lane_poll_ns);

inline constexpr size_t kInPlaceInputBytes = size_t{64} << 10;
inline constexpr size_t kInPlaceOutputBytes = size_t{1} << 20;

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_ENGINE_CUDA_ENGINE_H_
