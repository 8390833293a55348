// A part of the GPU as if it were all of it: a CUDA green context with a bounded number of multiprocessors. What is
// tuned for a small GPU can so be measured on a large one (whose clocks, memory and caches stay its own).
#ifndef FLASHCORE_BENCH_KERNEL_DEVICE_SLICE_H_
#define FLASHCORE_BENCH_KERNEL_DEVICE_SLICE_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct CUctx_st;

namespace flashcore::bench {

// Lasts until the process ends. Not thread-safe.
class DeviceSlice {
 public:
  // At least `sm_count` multiprocessors of the device, as few more as it allows, current on the calling thread from
  // then on. The device has been opened. UNAVAILABLE: its driver has no green contexts, or it is too small.
  static absl::StatusOr<DeviceSlice> Enter(int device_ordinal, int sm_count);

  int sm_count() const { return sm_count_; }

  // Whether the slice is still current on this thread; FAILED_PRECONDITION if somebody made another context current, as
  // cudaSetDevice does even for the device in use.
  absl::Status CheckCurrent() const;

 private:
  DeviceSlice(CUctx_st* context, int sm_count) : context_(context), sm_count_(sm_count) {}

  CUctx_st* context_;
  int sm_count_;
};

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_KERNEL_DEVICE_SLICE_H_
