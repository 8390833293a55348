#include "bench/tune/plan_timer.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <limits>

#include "absl/types/span.h"
#include "bench/kernel/device.h"
#include "bench/kernel/host_tensors.h"
#include "bench/kernel/timing.h"
#include "bench/tune/planned_backend.h"
#include "kernels/cuda/fused_launch.h"

namespace flashcore::bench {
namespace {

constexpr size_t kAlignment = 4096;

size_t Aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

absl::Status Fill(std::byte* memory, uint64_t seed) {
  constexpr int64_t kPatternElements = int64_t{1} << 22;
  Shape pattern;
  pattern.batch = pattern.num_qo_heads = pattern.num_kv_heads = 1;
  pattern.q_len = pattern.kv_len = kPatternElements / kMaxHeadDim;
  pattern.head_dim = kMaxHeadDim;
  const std::vector<std::byte> bytes = Encode(DType::kFloat16, DrawTensors(pattern, seed).q);
  for (size_t at = 0; at < PlanTimer::kMemoryBytes; at += bytes.size()) {
    const size_t part = std::min(bytes.size(), PlanTimer::kMemoryBytes - at);
    absl::Status copied =
        cuda::ToStatus(cudaMemcpy(memory + at, bytes.data(), part, cudaMemcpyHostToDevice), "filling the memory");
    if (!copied.ok()) return copied;
  }
  return absl::OkStatus();
}

// The problem's tensors side by side in `memory`.
AttentionProblem Place(const Shape& shape, std::byte* memory) {
  AttentionProblem problem = shape;
  const size_t query_bytes = Aligned(static_cast<size_t>(QueryElements(shape)) * SizeOf(shape.dtype));
  const size_t key_bytes = Aligned(static_cast<size_t>(KeyValueElements(shape)) * SizeOf(shape.dtype));
  problem.q = memory;
  problem.k = memory + query_bytes;
  problem.v = memory + query_bytes + key_bytes;
  problem.o = memory + query_bytes + 2 * key_bytes;
  return problem;
}

}  // namespace

absl::StatusOr<PlanTimer> PlanTimer::Create(int device_ordinal, int sm_count, uint64_t seed) {
  const absl::StatusOr<Device> device = OpenDevice(device_ordinal);
  if (!device.ok()) return device.status();
  std::optional<DeviceSlice> slice;
  if (sm_count > 0) {
    const absl::StatusOr<DeviceSlice> entered = DeviceSlice::Enter(device_ordinal, sm_count);
    if (!entered.ok()) return entered.status();
    slice = *entered;
  }
  const absl::Status loaded = cuda::FusedLauncher::Load();
  if (!loaded.ok()) return loaded;
  absl::StatusOr<cuda::Stream> stream = cuda::CreateStream();
  if (!stream.ok()) return stream.status();
  absl::StatusOr<cuda::DeviceMemory> memory = cuda::AllocateDevice(kMemoryBytes);
  if (!memory.ok()) return memory.status();
  const absl::Status filled = Fill(memory->get(), seed);
  if (!filled.ok()) return filled;
  const cuda::DeviceLimits limits = {cuda::UsableMultiprocessors(device->sm_count),
                                     static_cast<int64_t>(device->l2_bytes),
                                     static_cast<int64_t>(device->shared_bytes_per_sm)};
  return PlanTimer(device->name, limits, slice, *std::move(memory), *std::move(stream));
}

absl::StatusOr<double> PlanTimer::TimePlan(const AttentionProblem& problem, const cuda::FusedPlan& plan,
                                           double best_us) {
  // What is chosen must be known well; what is not, only to be slow.
  constexpr double kSlow = 3.0;
  constexpr double kLaunchUs = 100.0;
  constexpr double kReplayUs = 400.0;
  constexpr size_t kMostCalls = 20;
  constexpr int kTimings = 11;
  constexpr double kMaxSeconds = 0.02;
  PlannedBackend backend(limits_, plan);
  const Call call = [&](size_t /*call*/, cudaStream_t stream) {
    return backend.Launch(absl::MakeConstSpan(&problem, 1), stream);
  };
  const absl::StatusOr<Summary> trial = TimeByEvents(call, {kMinTimings, 0.0, 1}, stream_.get());
  if (!trial.ok()) return trial.status();
  if (trial->median_us > kSlow * best_us + kLaunchUs) return trial->median_us;
  const auto calls = static_cast<size_t>(kReplayUs / trial->median_us);
  const absl::StatusOr<Summary> timed =
      TimeByGraph(call, {kTimings, kMaxSeconds, std::clamp<size_t>(calls, 1, kMostCalls)}, stream_.get());
  if (!timed.ok()) return timed.status();
  return timed->median_us;
}

absl::StatusOr<std::vector<PlanTiming>> PlanTimer::Time(const Shape& shape) {
  const AttentionProblem problem = Place(shape, memory_.get());
  std::vector<PlanTiming> timings;
  if (TensorBytes(shape) + 4 * kAlignment > kMemoryBytes || !cuda::FusedSupports(problem)) return timings;
  double best_us = std::numeric_limits<double>::infinity();
  for (const cuda::FusedPlan& plan : cuda::CandidatePlans(problem, limits_)) {
    const absl::StatusOr<double> us = TimePlan(problem, plan, best_us);
    if (!us.ok()) return us.status();
    best_us = std::min(best_us, *us);
    timings.push_back({limits_, shape, plan.kind, plan.cut(), *us});
  }
  absl::Status inside = slice_.has_value() ? slice_->CheckCurrent() : absl::OkStatus();
  if (!inside.ok()) return inside;
  return timings;
}

}  // namespace flashcore::bench
