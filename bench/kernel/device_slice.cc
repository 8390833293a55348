#include "bench/kernel/device_slice.h"

#include <cuda.h>

#include "absl/strings/str_cat.h"
#include "kernels/cuda/driver.h"

namespace flashcore::bench {
namespace {

// Calls the driver's function `name`, declared as Function.
template <typename Function, typename... Args>
absl::Status Call(const char* name, Args... args) {
  auto* const function = cuda::DriverFunction<Function>(name);
  if (function == nullptr) return absl::UnavailableError(absl::StrCat("the driver has no ", name));
  const CUresult result = function(args...);
  if (result == CUDA_SUCCESS) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(name, " failed with CUresult ", static_cast<int>(result)));
}

absl::Status Split(CUdevice device, int sm_count, CUdevResource& part) {
  CUdevResource whole;
  absl::Status status =
      Call<decltype(cuDeviceGetDevResource)>("cuDeviceGetDevResource", device, &whole, CU_DEV_RESOURCE_TYPE_SM);
  if (!status.ok()) return status;
  unsigned groups = 1;
  return Call<decltype(cuDevSmResourceSplitByCount)>("cuDevSmResourceSplitByCount", &part, &groups, &whole, nullptr, 0U,
                                                     static_cast<unsigned>(sm_count));
}

absl::Status MakeContext(CUdevice device, CUdevResource& part, CUcontext& context) {
  CUdevResourceDesc description = nullptr;
  absl::Status status = Call<decltype(cuDevResourceGenerateDesc)>("cuDevResourceGenerateDesc", &description, &part, 1U);
  if (!status.ok()) return status;
  CUgreenCtx green = nullptr;
  status = Call<decltype(cuGreenCtxCreate)>("cuGreenCtxCreate", &green, description, device,
                                            static_cast<unsigned>(CU_GREEN_CTX_DEFAULT_STREAM));
  if (!status.ok()) return status;
  return Call<decltype(cuCtxFromGreenCtx)>("cuCtxFromGreenCtx", &context, green);
}

}  // namespace

absl::StatusOr<DeviceSlice> DeviceSlice::Enter(int device_ordinal, int sm_count) {
  CUdevice device = 0;
  CUdevResource part;
  CUcontext context = nullptr;
  absl::Status status = Call<decltype(cuDeviceGet)>("cuDeviceGet", &device, device_ordinal);
  if (status.ok()) status = Split(device, sm_count, part);
  if (status.ok()) status = MakeContext(device, part, context);
  if (status.ok()) status = Call<decltype(cuCtxSetCurrent)>("cuCtxSetCurrent", context);
  if (!status.ok()) {
    return absl::UnavailableError(absl::StrCat("a slice of ", sm_count, " multiprocessors: ", status.message()));
  }
  return DeviceSlice(context, static_cast<int>(part.sm.smCount));
}

absl::Status DeviceSlice::CheckCurrent() const {
  CUcontext current = nullptr;
  absl::Status status = Call<decltype(cuCtxGetCurrent)>("cuCtxGetCurrent", &current);
  if (!status.ok()) return status;
  if (current == context_) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "the kernel's backend left the slice by making another CUDA context current (cudaSetDevice does, even for the "
      "device in use): what it planned for or ran on is not the slice");
}

}  // namespace flashcore::bench
