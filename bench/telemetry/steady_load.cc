#include "bench/telemetry/steady_load.h"

#include <cuda_runtime_api.h>

#include <algorithm>

#include "absl/types/span.h"
#include "bench/kernel/host_tensors.h"

namespace flashcore::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kSeed = 42;
constexpr std::chrono::duration<double> kGroupTime(5e-3);
constexpr int64_t kMaxLaunchesPerGroup = 1000;

}  // namespace

absl::StatusOr<std::unique_ptr<SteadyLoad>> SteadyLoad::Create(const Shape& shape, const Device& device) {
  absl::StatusOr<std::unique_ptr<AttentionBackend>> backend =
      CreateBackend({.backend = "cuda", .kernel = "auto", .num_threads = 0, .device_ordinal = 0});
  if (!backend.ok()) return backend.status();
  absl::StatusOr<DeviceSets> sets = DeviceSets::Create(shape, DrawTensors(shape, kSeed), device.l2_bytes);
  if (!sets.ok()) return sets.status();
  absl::StatusOr<cuda::Stream> stream = cuda::CreateStream();
  if (!stream.ok()) return stream.status();
  std::array<cuda::Event, kGroups> events;
  for (cuda::Event& event : events) {
    absl::StatusOr<cuda::Event> created = cuda::CreateEvent(cudaEventDisableTiming);
    if (!created.ok()) return created.status();
    event = *std::move(created);
  }
  std::unique_ptr<SteadyLoad> load(
      new SteadyLoad(*std::move(backend), *std::move(sets), *std::move(stream), std::move(events)));
  absl::Status status = load->Calibrate();
  if (!status.ok()) return status;
  return load;
}

absl::Status SteadyLoad::Calibrate() {
  // The first groups are slow: the clock rises, memory for splits is taken.
  constexpr int kRounds = 4;
  for (int round = 0; round < kRounds; ++round) {
    const auto start = Clock::now();
    absl::Status status = EnqueueGroup(0);
    if (status.ok()) status = AwaitGroup(0);
    if (!status.ok()) return status;
    const double groups = kGroupTime / std::chrono::duration<double>(Clock::now() - start);
    const double launches = std::max(1.0, static_cast<double>(launches_per_group_) * groups);
    launches_per_group_ = std::min(static_cast<int64_t>(launches), kMaxLaunchesPerGroup);
  }
  return absl::OkStatus();
}

absl::Status SteadyLoad::EnqueueGroup(size_t group) {
  for (int64_t i = 0; i < launches_per_group_; ++i) {
    absl::Status status = backend_->Launch(absl::MakeConstSpan(&sets_.problem(next_set_), 1), stream_.get());
    if (!status.ok()) return status;
    next_set_ = (next_set_ + 1) % sets_.size();
  }
  return cuda::ToStatus(cudaEventRecord(events_[group].get(), stream_.get()), "recording an event");
}

absl::Status SteadyLoad::AwaitGroup(size_t group) {
  absl::Status status = cuda::ToStatus(cudaEventSynchronize(events_[group].get()), "waiting for launches");
  const double done = AttentionFlops(sets_.problem(0)) * static_cast<double>(launches_per_group_);
  if (status.ok()) flops_.store(flops() + done, std::memory_order_relaxed);
  return status;
}

absl::StatusOr<double> SteadyLoad::RunFor(std::chrono::duration<double> time, const std::function<void()>& between) {
  const auto start = Clock::now();
  const double flops_before = flops();
  size_t group = 0;
  absl::Status status = EnqueueGroup(group);
  while (status.ok() && Clock::now() - start < time) {
    const size_t older = group;
    group = (group + 1) % kGroups;
    status = EnqueueGroup(group);
    if (status.ok()) status = AwaitGroup(older);
    between();
  }
  if (status.ok()) status = AwaitGroup(group);
  if (!status.ok()) return status;
  return (flops() - flops_before) / std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace flashcore::bench
