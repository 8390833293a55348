// The CUDA runtime's errors as absl::Status and its resources as owners. Destructors ignore errors: by then nothing
// can be done about them, and a sticky one is reported by the next call that matters.
#ifndef FLASHCORE_KERNELS_CUDA_RUNTIME_H_
#define FLASHCORE_KERNELS_CUDA_RUNTIME_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace flashcore::cuda {

// OK for cudaSuccess, RESOURCE_EXHAUSTED for want of memory, else INTERNAL; `what` is the call that said so.
absl::Status ToStatus(cudaError_t error, absl::string_view what);

struct DeviceFree {
  void operator()(std::byte* data) const { cudaFree(data); }
};
struct HostFree {
  void operator()(std::byte* data) const { cudaFreeHost(data); }
};
struct StreamDestroy {
  void operator()(cudaStream_t stream) const { cudaStreamDestroy(stream); }
};
struct EventDestroy {
  void operator()(cudaEvent_t event) const { cudaEventDestroy(event); }
};

using DeviceMemory = std::unique_ptr<std::byte, DeviceFree>;
using PinnedMemory = std::unique_ptr<std::byte, HostFree>;
using Stream = std::unique_ptr<CUstream_st, StreamDestroy>;
using Event = std::unique_ptr<CUevent_st, EventDestroy>;

// How many multiprocessors work in the calling thread's current context can use: fewer than the device has if it is a
// green context. `of_device` where there is no context, or the driver is older than such contexts.
int UsableMultiprocessors(int of_device);

// All on the calling thread's current device.

// Aligned to 256 bytes at least.
absl::StatusOr<DeviceMemory> AllocateDevice(size_t size_bytes);
// Page-locked, and known as such to every device.
absl::StatusOr<PinnedMemory> AllocatePinned(size_t size_bytes);
// Does not synchronise with the legacy default stream.
absl::StatusOr<Stream> CreateStream();
// `flags` as cudaEventCreateWithFlags takes them.
absl::StatusOr<Event> CreateEvent(unsigned flags);

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_RUNTIME_H_
