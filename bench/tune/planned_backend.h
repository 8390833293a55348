// The fused kernels under one given plan, where the CUDA backend makes its own.
#ifndef FLASHCORE_BENCH_TUNE_PLANNED_BACKEND_H_
#define FLASHCORE_BENCH_TUNE_PLANNED_BACKEND_H_

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/attention.h"
#include "kernels/cuda/fused_launch.h"
#include "kernels/cuda/fused_plan.h"

namespace flashcore::bench {

// Runs on the current device, after FusedLauncher::Load. Thread-safe.
class PlannedBackend final : public AttentionBackend {
 public:
  // `plan` is for every problem that is launched: the same one, on whatever memory.
  PlannedBackend(const cuda::DeviceLimits& device, const cuda::FusedPlan& plan)
      : launcher_(device, cuda::GridKind::kTiles, [plan](const AttentionProblem& /*problem*/) { return plan; }) {
    info_.backend = "cuda";
    info_.kernel = "cuda/fused";
    info_.dtypes = {DType::kFloat16, DType::kBFloat16};
    info_.device_memory = true;
  }

  const BackendInfo& info() const override { return info_; }

  absl::Status CheckSupported(const AttentionProblem& problem) const override {
    return cuda::FusedSupports(problem) ? absl::OkStatus()
                                        : absl::UnimplementedError("the fused kernels do not run this problem");
  }

  absl::Status Launch(absl::Span<const AttentionProblem> problems, void* stream) override {
    return launcher_.Launch(problems, static_cast<cudaStream_t>(stream)).status();
  }

 private:
  cuda::FusedLauncher launcher_;
  BackendInfo info_;
};

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_TUNE_PLANNED_BACKEND_H_
