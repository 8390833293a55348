// The same problem several times over in device memory, so that a benchmark can walk past the L2 cache.
#ifndef FLASHCORE_BENCH_KERNEL_DEVICE_SETS_H_
#define FLASHCORE_BENCH_KERNEL_DEVICE_SETS_H_

#include <cstddef>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bench/kernel/host_tensors.h"
#include "bench/kernel/shape.h"
#include "kernels/cuda/runtime.h"

namespace flashcore::bench {

// All calls block. Movable; owns the device memory that its problems point into.
class DeviceSets {
 public:
  // As many sets of equal content as are needed to fill `min_bytes`, between 2 and kMaxSets.
  static absl::StatusOr<DeviceSets> Create(const Shape& shape, const HostTensors& tensors, size_t min_bytes);

  static constexpr size_t kMaxSets = 512;

  size_t size() const { return problems_.size(); }
  const AttentionProblem& problem(size_t set) const { return problems_[set]; }

  // Overwrites every output with NaN.
  absl::Status Poison();
  // The output of one set, after all work on the device is done.
  absl::StatusOr<std::vector<std::byte>> ReadOutput(size_t set) const;

 private:
  DeviceSets(size_t output_bytes, cuda::DeviceMemory memory, std::vector<AttentionProblem> problems)
      : output_bytes_(output_bytes), memory_(std::move(memory)), problems_(std::move(problems)) {}

  size_t output_bytes_;
  cuda::DeviceMemory memory_;
  std::vector<AttentionProblem> problems_;
};

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_KERNEL_DEVICE_SETS_H_
