// How long calls take on the device.
#ifndef FLASHCORE_BENCH_KERNEL_TIMING_H_
#define FLASHCORE_BENCH_KERNEL_TIMING_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bench/kernel/summary.h"

namespace flashcore::bench {

// Enqueues call number `call`, counted from 0, on the stream; does not wait.
using Call = std::function<absl::Status(size_t call, cudaStream_t stream)>;

struct TimingOptions {
  int timings = 100;         // Fewer if they would take longer than max_seconds, but at least kMinTimings.
  double max_seconds = 2.0;  // For all timings of one measurement.
  size_t calls = 1;          // In one timing; the result is per call.
};
inline constexpr int kMinTimings = 5;

// Both enqueue all timings at once, an event between neighbours, so that the device never waits for this thread
// (unless a call takes it longer than it takes the device), and block until the last is done. Two untimed rounds first.

// The calls are captured in a CUDA graph once; a timing is one replay.
absl::StatusOr<Summary> TimeByGraph(const Call& call, const TimingOptions& options, cudaStream_t stream);
// A timing makes the calls one by one.
absl::StatusOr<Summary> TimeByEvents(const Call& call, const TimingOptions& options, cudaStream_t stream);

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_KERNEL_TIMING_H_
