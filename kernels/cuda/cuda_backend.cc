#include <cuda_runtime_api.h>

#include <cassert>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/attention.h"
#include "kernels/backends.h"
#include "kernels/cuda/fused_launch.h"
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

// The current device is the calling thread's, and the caller may be on any thread. If it is ours already it is left
// alone: selecting it again would leave the caller's own context, a slice of the device for instance.
absl::Status SelectDevice(int device_ordinal) {
  int current = -1;
  absl::Status status = cuda::ToStatus(cudaGetDevice(&current), "asking for the current device");
  if (!status.ok() || current == device_ordinal) return status;
  return cuda::ToStatus(cudaSetDevice(device_ordinal), "selecting the device");
}

struct Device {
  std::string name;
  // Of the context that was current when the backend was made, which may be a slice of the device.
  cuda::DeviceLimits limits;
};

absl::Status LoadKernel(const cuda::Kernel& kernel) {
  const std::string what = absl::StrCat("loading kernel '", kernel.name, "'");
  absl::Status status = cuda::ToStatus(cuda::ScalarKernel().load(), what);
  if (status.ok() && kernel.tensor_core.has_value()) status = cuda::ToStatus(kernel.tensor_core->load(), what);
  if (status.ok() && kernel.fused_grid.has_value()) status = cuda::FusedLauncher::Load();
  return status;
}

// Makes the device current, checks that it can run our code, and loads the kernel.
absl::StatusOr<Device> PrepareDevice(int device_ordinal, const cuda::Kernel& kernel) {
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
  status = SelectDevice(device_ordinal);
  if (!status.ok()) return absl::UnavailableError(status.message());
  status = LoadKernel(kernel);
  if (!status.ok()) return absl::UnavailableError(status.message());
  return Device{properties.name,
                {cuda::UsableMultiprocessors(properties.multiProcessorCount), properties.l2CacheSize,
                 static_cast<int64_t>(properties.sharedMemPerMultiprocessor)}};
}

// Positions in the backend's LaunchCounts.
constexpr size_t kScalarCount = 0;
constexpr size_t kTensorCoreCount = 1;  // Of fused kernels the first, by TileKind.
constexpr absl::string_view kTileKindNames[] = {"wide", "mid", "short", "narrow"};
static_assert(std::size(kTileKindNames) == cuda::kTileKinds);

// All that the rung may launch: "cuda/scalar" runs what its own kernels cannot.
std::vector<std::string> LaunchedKernels(const cuda::Kernel& kernel) {
  std::vector<std::string> names = {"cuda/scalar"};
  if (kernel.tensor_core.has_value()) names.push_back(absl::StrCat("cuda/", kernel.name));
  if (kernel.fused_grid.has_value()) {
    for (const absl::string_view kind : kTileKindNames) {
      names.push_back(absl::StrCat("cuda/", kernel.name, "_", kind));
    }
  }
  return names;
}

class CudaBackend final : public AttentionBackend {
 public:
  CudaBackend(int device_ordinal, const cuda::Kernel& kernel, const Device& device)
      : device_ordinal_(device_ordinal),
        kernel_(kernel),
        launch_counts_(std::make_shared<LaunchCounts>(LaunchedKernels(kernel))) {
    if (kernel.fused_grid.has_value()) fused_.emplace(device.limits, *kernel.fused_grid);
    info_.backend = "cuda";
    info_.device = device.name;
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
    absl::Status status = SelectDevice(device_ordinal_);
    if (!status.ok()) return status;
    auto* const cuda_stream = static_cast<cudaStream_t>(stream);
    const bool all_scalar = !fused_.has_value() && !kernel_.tensor_core.has_value();
    return all_scalar ? LaunchDescribed(cuda::ScalarKernel(), kScalarCount, problems, cuda_stream)
                      : LaunchOnTensorCores(problems, cuda_stream);
  }

  std::shared_ptr<const LaunchCounts> launch_counts() const override { return launch_counts_; }

 private:
  absl::Status LaunchDescribed(const cuda::DescriptorKernel& kernel, size_t count,
                               absl::Span<const AttentionProblem> problems, cudaStream_t stream) const {
    cuda::BatchDescriptor<cuda::kFullBatch> batch;
    cuda::PlanBatch(problems, kernel.tiling, batch);
    if (cuda::NumTiles(batch) == 0) return absl::OkStatus();
    const cudaError_t error = kernel.launch(batch, stream);
    if (error != cudaSuccess) return absl::InternalError(cuda::ToStatus(error, info_.kernel).message());
    launch_counts_->Add(count, 1);
    return absl::OkStatus();
  }

  absl::Status LaunchFused(absl::Span<const AttentionProblem> problems, cudaStream_t stream) {
    const absl::StatusOr<cuda::FusedLaunches> launches = fused_->Launch(problems, stream);
    if (!launches.ok()) return launches.status();
    for (size_t kind = 0; kind < launches->size(); ++kind) {
      if ((*launches)[kind] != 0) launch_counts_->Add(kTensorCoreCount + kind, (*launches)[kind]);
    }
    return absl::OkStatus();
  }

  // What they cannot run goes to the scalar kernel.
  absl::Status LaunchOnTensorCores(absl::Span<const AttentionProblem> problems, cudaStream_t stream) {
    std::vector<AttentionProblem> supported;
    std::vector<AttentionProblem> rest;
    for (const AttentionProblem& problem : problems) {
      if (problem.q_len > 0) (cuda::FusedSupports(problem) ? supported : rest).push_back(problem);
    }
    const absl::Status status = fused_.has_value()
                                    ? LaunchFused(supported, stream)
                                    : LaunchDescribed(*kernel_.tensor_core, kTensorCoreCount, supported, stream);
    return status.ok() ? LaunchDescribed(cuda::ScalarKernel(), kScalarCount, rest, stream)
                       : absl::InternalError(status.message());
  }

  const int device_ordinal_;
  const cuda::Kernel& kernel_;
  const std::shared_ptr<LaunchCounts> launch_counts_;
  std::optional<cuda::FusedLauncher> fused_;
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
  const absl::StatusOr<Device> device = PrepareDevice(device_ordinal, *kernel);
  if (!device.ok()) return device.status();
  return std::make_unique<CudaBackend>(device_ordinal, *kernel, *device);
}

}  // namespace flashcore
