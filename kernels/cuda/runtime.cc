#include "kernels/cuda/runtime.h"

#include <cuda.h>

#include "absl/strings/str_cat.h"
#include "kernels/cuda/driver.h"

namespace flashcore::cuda {

absl::Status ToStatus(cudaError_t error, absl::string_view what) {
  if (error == cudaSuccess) return absl::OkStatus();
  const std::string message = absl::StrCat(what, ": ", cudaGetErrorString(error), " (", cudaGetErrorName(error), ")");
  return error == cudaErrorMemoryAllocation ? absl::ResourceExhaustedError(message) : absl::InternalError(message);
}

int UsableMultiprocessors(int of_device) {
  auto* const current = DriverFunction<decltype(cuCtxGetCurrent)>("cuCtxGetCurrent");
  auto* const resource_of = DriverFunction<decltype(cuCtxGetDevResource)>("cuCtxGetDevResource");
  CUcontext context = nullptr;
  CUdevResource resource;
  if (current == nullptr || resource_of == nullptr || current(&context) != CUDA_SUCCESS || context == nullptr ||
      resource_of(context, &resource, CU_DEV_RESOURCE_TYPE_SM) != CUDA_SUCCESS) {
    return of_device;
  }
  return static_cast<int>(resource.sm.smCount);
}

absl::StatusOr<DeviceMemory> AllocateDevice(size_t size_bytes) {
  void* data = nullptr;
  const absl::Status status =
      ToStatus(cudaMalloc(&data, size_bytes), absl::StrCat("allocating ", size_bytes, " bytes of device memory"));
  if (!status.ok()) return status;
  return DeviceMemory(static_cast<std::byte*>(data));
}

absl::StatusOr<PinnedMemory> AllocatePinned(size_t size_bytes) {
  void* data = nullptr;
  const absl::Status status = ToStatus(cudaHostAlloc(&data, size_bytes, cudaHostAllocPortable),
                                       absl::StrCat("page-locking ", size_bytes, " bytes of host memory"));
  if (!status.ok()) return status;
  return PinnedMemory(static_cast<std::byte*>(data));
}

absl::StatusOr<Stream> CreateStream() {
  cudaStream_t stream = nullptr;
  const absl::Status status = ToStatus(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "creating a stream");
  if (!status.ok()) return status;
  return Stream(stream);
}

absl::StatusOr<Event> CreateEvent(unsigned flags) {
  cudaEvent_t event = nullptr;
  const absl::Status status = ToStatus(cudaEventCreateWithFlags(&event, flags), "creating an event");
  if (!status.ok()) return status;
  return Event(event);
}

}  // namespace flashcore::cuda
