// Times all plans of a problem on the device.
#ifndef FLASHCORE_BENCH_TUNE_PLAN_TIMER_H_
#define FLASHCORE_BENCH_TUNE_PLAN_TIMER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/kernel/device_slice.h"
#include "bench/kernel/shape.h"
#include "bench/tune/plan_timings.h"
#include "kernels/cuda/fused_plan.h"
#include "kernels/cuda/runtime.h"

namespace flashcore::bench {

// Holds memory for tensors of all sizes, filled with near-normal values once. Not thread-safe; all calls block.
class PlanTimer {
 public:
  // What Q, K, V and O of one problem may take.
  static constexpr size_t kMemoryBytes = size_t{6} << 30;

  // Enters a slice of the device if `sm_count` is not 0. UNAVAILABLE: there is no device, or no such slice; says why.
  static absl::StatusOr<PlanTimer> Create(int device_ordinal, int sm_count, uint64_t seed);

  const std::string& device_name() const { return device_name_; }
  const cuda::DeviceLimits& limits() const { return limits_; }

  // Of every plan that the planner would consider; plans that are far slower than the best, less carefully. Empty if
  // the fused kernels do not run the problem, or it takes more than kMemoryBytes.
  absl::StatusOr<std::vector<PlanTiming>> Time(const Shape& shape);

 private:
  PlanTimer(std::string device_name, const cuda::DeviceLimits& limits, const std::optional<DeviceSlice>& slice,
            cuda::DeviceMemory memory, cuda::Stream stream)
      : device_name_(std::move(device_name)),
        limits_(limits),
        slice_(slice),
        memory_(std::move(memory)),
        stream_(std::move(stream)) {}

  absl::StatusOr<double> TimePlan(const AttentionProblem& problem, const cuda::FusedPlan& plan, double best_us);

  std::string device_name_;
  cuda::DeviceLimits limits_;
  std::optional<DeviceSlice> slice_;
  cuda::DeviceMemory memory_;
  cuda::Stream stream_;
};

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_TUNE_PLAN_TIMER_H_
