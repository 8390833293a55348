#include <cuda_runtime_api.h>

#include <cassert>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/attention.h"
#include "kernels/backends.h"
#include "kernels/cuda/kernel_table.h"
#include "kernels/cuda/plan.h"
#include "kernels/cuda/runtime.h"

namespace flashcore {
namespace {

// The oldest compute capability that this build has code for.
constexpr int kMinMajor = 8;

// As the runtime writes CUDA versions: 12040 is 12.4.
std::string CudaVersion(int version) { return absl::StrCat(version / 1000, ".", version % 1000 / 10); }

// Why the runtime finds no device, for the one who has to mend it.
absl::Status NoDevice(cudaError_t error) {
  int driver_version = 0;
  cudaDriverGetVersion(&driver_version);
  if (driver_version == 0) return absl::UnavailableError("no CUDA device: no NVIDIA driver is installed or visible");
  if (error == cudaErrorInsufficientDriver) {
    return absl::UnavailableError(absl::StrCat("no CUDA device: the driver knows CUDA up to ",
                                               CudaVersion(driver_version), "; this build needs ",
                                               CudaVersion(CUDART_VERSION)));
  }
  return absl::UnavailableError(absl::StrCat("no CUDA device: ", cudaGetErrorString(error)));
}

absl::Status CheckDevice(int device_ordinal) {
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess) return NoDevice(error);
  if (device_ordinal < 0 || device_ordinal >= devices) {
    return absl::UnavailableError(
        absl::StrCat("there is no CUDA device ", device_ordinal, "; this machine has ", devices, ", counted from 0"));
  }
  return absl::OkStatus();
}

// Makes the device current, checks that it can run our code, and loads the kernel.
absl::StatusOr<std::string> PrepareDevice(int device_ordinal, const cuda::Kernel& kernel) {
  absl::Status status = CheckDevice(device_ordinal);
  if (!status.ok()) return status;
  cudaDeviceProp properties;
  status = cuda::ToStatus(cudaGetDeviceProperties(&properties, device_ordinal), "asking the device what it is");
  if (!status.ok()) return absl::UnavailableError(status.message());
  if (properties.major < kMinMajor) {
    return absl::UnavailableError(absl::StrCat("CUDA device ", device_ordinal, " (", properties.name,
                                               ") has compute capability ", properties.major, ".", properties.minor,
                                               "; ", kMinMajor, ".0 or higher is needed"));
  }
  status = cuda::ToStatus(cudaSetDevice(device_ordinal), "taking the device into use");
  if (!status.ok()) return absl::UnavailableError(status.message());
  status = cuda::ToStatus(kernel.load(), absl::StrCat("loading kernel '", kernel.name, "'"));
  if (!status.ok()) return absl::UnavailableError(status.message());
  return std::string(properties.name);
}

class CudaBackend final : public AttentionBackend {
 public:
  CudaBackend(int device_ordinal, const cuda::Kernel& kernel, std::string device_name)
      : device_ordinal_(device_ordinal), kernel_(kernel) {
    info_.backend = "cuda";
    info_.device = std::move(device_name);
    info_.kernel = absl::StrCat("cuda/", kernel.name);
    info_.dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32};
    info_.device_memory = true;
  }

  const BackendInfo& info() const override { return info_; }

  absl::Status CheckSupported(const AttentionProblem& problem) const override {
    if (cuda::NumRows(problem) <= cuda::kMaxRows) return absl::OkStatus();
    return absl::UnimplementedError(absl::StrCat("batch * num_qo_heads * q_len is ", cuda::NumRows(problem),
                                                 "; the CUDA kernels take at most ", cuda::kMaxRows));
  }

  absl::Status Launch(absl::Span<const AttentionProblem> problems, void* stream) override {
    assert(problems.size() <= kMaxBatchProblems);
    for ([[maybe_unused]] const AttentionProblem& problem : problems) {
      assert(ValidateProblem(problem).ok() && CheckSupported(problem).ok());
    }
    cuda::BatchDescriptor<cuda::kFullBatch> batch;
    cuda::PlanBatch(problems, kernel_.rows_per_tile, batch);
    if (cuda::NumTiles(batch) == 0) return absl::OkStatus();
    // The current device is the calling thread's, and the caller may be on any thread.
    absl::Status status = cuda::ToStatus(cudaSetDevice(device_ordinal_), "selecting the device");
    if (!status.ok()) return status;
    const cudaError_t error = kernel_.launch(batch, static_cast<cudaStream_t>(stream));
    return error == cudaSuccess ? absl::OkStatus() : absl::InternalError(cuda::ToStatus(error, info_.kernel).message());
  }

 private:
  const int device_ordinal_;
  const cuda::Kernel& kernel_;
  BackendInfo info_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<AttentionBackend>> CreateCudaBackend(int device_ordinal, absl::string_view kernel_name) {
  const cuda::Kernel* kernel = cuda::FindKernel(kernel_name);
  if (kernel == nullptr) {
    const auto name = [](std::string* out, const cuda::Kernel& known) { absl::StrAppend(out, "'", known.name, "'"); };
    return absl::InvalidArgumentError(absl::StrCat("kernel is '", kernel_name, "'; backend 'cuda' has 'auto', ",
                                                   absl::StrJoin(cuda::Kernels(), ", ", name)));
  }
  absl::StatusOr<std::string> device_name = PrepareDevice(device_ordinal, *kernel);
  if (!device_name.ok()) return device_name.status();
  return std::make_unique<CudaBackend>(device_ordinal, *kernel, *std::move(device_name));
}

}  // namespace flashcore
