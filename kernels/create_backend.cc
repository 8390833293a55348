#include "absl/strings/str_cat.h"
#include "kernels/attention.h"
#include "kernels/backends.h"

namespace flashcore {
namespace {

absl::Status RequireAutoKernel(const BackendOptions& options, absl::string_view backend) {
  if (options.kernel == "auto") return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("kernel is '", options.kernel, "'; backend '", backend, "' takes only 'auto'"));
}

absl::StatusOr<std::unique_ptr<AttentionBackend>> CreateReference(const BackendOptions& options) {
  absl::Status status = RequireAutoKernel(options, "reference");
  if (!status.ok()) return status;
  return CreateReferenceBackend();
}

absl::StatusOr<std::unique_ptr<AttentionBackend>> CreateCpu(const BackendOptions& options) {
  absl::Status status = RequireAutoKernel(options, "cpu");
  if (!status.ok()) return status;
  return CreateCpuBackend(options.num_threads);
}

absl::StatusOr<std::unique_ptr<AttentionBackend>> CreateCuda([[maybe_unused]] const BackendOptions& options) {
#ifdef FLASHCORE_HAS_CUDA
  return CreateCudaBackend(options.device_ordinal, options.kernel);
#else
  return absl::UnavailableError("backend 'cuda' is not in this build, which was configured without CUDA");
#endif
}

}  // namespace

absl::StatusOr<std::unique_ptr<AttentionBackend>> CreateBackend(const BackendOptions& options) {
  if (options.backend == "reference") return CreateReference(options);
  if (options.backend == "cpu") return CreateCpu(options);
  if (options.backend == "cuda") return CreateCuda(options);
  if (options.backend == "auto") {
    absl::StatusOr<std::unique_ptr<AttentionBackend>> cuda = CreateCuda(options);
    return absl::IsUnavailable(cuda.status()) ? CreateCpu(options) : std::move(cuda);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("backend is '", options.backend, "'; it must be 'auto', 'cpu', 'cuda' or 'reference'"));
}

}  // namespace flashcore
