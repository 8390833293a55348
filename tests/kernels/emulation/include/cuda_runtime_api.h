// Stands in for CUDA's header of this name, as far as the fused kernels' launches need it: device memory is the host's,
// a launch is over when it returns, and nothing is captured.
#ifndef FLASHCORE_TESTS_KERNELS_EMULATION_INCLUDE_CUDA_RUNTIME_API_H_
#define FLASHCORE_TESTS_KERNELS_EMULATION_INCLUDE_CUDA_RUNTIME_API_H_

#include <cstddef>
#include <cstdlib>
#include <cstring>

enum cudaError_t { cudaSuccess };
struct CUstream_st {};
struct CUevent_st {};
using cudaStream_t = CUstream_st*;
using cudaEvent_t = CUevent_st*;
enum cudaStreamCaptureMode { cudaStreamCaptureModeRelaxed };
enum cudaStreamCaptureStatus { cudaStreamCaptureStatusNone };

inline cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* /*mode*/) { return cudaSuccess; }
inline cudaError_t cudaStreamGetCaptureInfo(cudaStream_t /*stream*/, cudaStreamCaptureStatus* status,
                                            unsigned long long* /*id*/) {  // NOLINT(google-runtime-int): CUDA's type.
  *status = cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t /*stream*/) { return cudaSuccess; }
inline cudaError_t cudaStreamDestroy(cudaStream_t /*stream*/) { return cudaSuccess; }
inline cudaError_t cudaEventDestroy(cudaEvent_t /*event*/) { return cudaSuccess; }
inline cudaError_t cudaMemsetAsync(void* data, int value, size_t bytes, cudaStream_t /*stream*/) {
  std::memset(data, value, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaFree(void* data) {
  std::free(data);
  return cudaSuccess;
}
inline cudaError_t cudaFreeHost(void* data) { return cudaFree(data); }

#endif  // FLASHCORE_TESTS_KERNELS_EMULATION_INCLUDE_CUDA_RUNTIME_API_H_
