// One attention problem over and over, so that the GPU never waits for the next launch.
#ifndef FLASHCORE_BENCH_TELEMETRY_STEADY_LOAD_H_
#define FLASHCORE_BENCH_TELEMETRY_STEADY_LOAD_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bench/kernel/device.h"
#include "bench/kernel/device_sets.h"
#include "bench/kernel/shape.h"
#include "kernels/attention.h"
#include "kernels/cuda/runtime.h"

namespace flashcore::bench {

// Used by one thread, but for flops(). On random inputs: zeros would draw less power than real work.
class SteadyLoad {
 public:
  // On the current device, with the server's own choice of kernels. Blocks.
  static absl::StatusOr<std::unique_ptr<SteadyLoad>> Create(const Shape& shape, const Device& device);

  // Computes for about that long, and calls `between` every few milliseconds while the GPU works on. Gives the
  // floating-point operations done per second. Blocks.
  absl::StatusOr<double> RunFor(std::chrono::duration<double> time, const std::function<void()>& between);

  // Floating-point operations completed so far. Thread-safe.
  double flops() const { return flops_.load(std::memory_order_relaxed); }

 private:
  // Two groups of launches are under way at a time: when the older is done, the next is enqueued.
  static constexpr size_t kGroups = 2;

  SteadyLoad(std::unique_ptr<AttentionBackend> backend, DeviceSets sets, cuda::Stream stream,
             std::array<cuda::Event, kGroups> events)
      : backend_(std::move(backend)), sets_(std::move(sets)), stream_(std::move(stream)), events_(std::move(events)) {}

  // Finds how many launches a group takes.
  absl::Status Calibrate();
  absl::Status EnqueueGroup(size_t group);
  absl::Status AwaitGroup(size_t group);

  const std::unique_ptr<AttentionBackend> backend_;
  const DeviceSets sets_;
  const cuda::Stream stream_;
  const std::array<cuda::Event, kGroups> events_;
  int64_t launches_per_group_ = 1;
  size_t next_set_ = 0;
  std::atomic<double> flops_ = 0;
};

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_TELEMETRY_STEADY_LOAD_H_
