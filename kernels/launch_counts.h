// How often a backend launched each of its kernels: what really ran, which may differ from call to call.
//
// Thread-safe. Counting costs one relaxed atomic addition.
#ifndef FLASHCORE_KERNELS_LAUNCH_COUNTS_H_
#define FLASHCORE_KERNELS_LAUNCH_COUNTS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace flashcore {

class LaunchCounts {
 public:
  // All kernels that the backend may ever launch, a few, as they are reported to people: "cuda/scalar". The counts
  // start at 0.
  explicit LaunchCounts(std::vector<std::string> kernels) : kernels_(std::move(kernels)), launches_(kernels_.size()) {}

  const std::vector<std::string>& kernels() const { return kernels_; }

  // Of the kernel at that position of kernels().
  int64_t launches(size_t kernel) const { return launches_[kernel].load(std::memory_order_relaxed); }
  void Add(size_t kernel, int64_t launches) { launches_[kernel].fetch_add(launches, std::memory_order_relaxed); }

 private:
  const std::vector<std::string> kernels_;
  std::vector<std::atomic<int64_t>> launches_;
};

}  // namespace flashcore

#endif  // FLASHCORE_KERNELS_LAUNCH_COUNTS_H_
