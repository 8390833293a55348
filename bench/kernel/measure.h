// One kernel on one problem: is it right, and if so, how fast is it.
#ifndef FLASHCORE_BENCH_KERNEL_MEASURE_H_
#define FLASHCORE_BENCH_KERNEL_MEASURE_H_

#include <cuda_runtime_api.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/kernel/device.h"
#include "bench/kernel/device_sets.h"
#include "bench/kernel/oracle.h"
#include "bench/kernel/shape.h"
#include "bench/kernel/summary.h"
#include "kernels/attention.h"

namespace flashcore::bench {

struct MeasureOptions {
  int timings = 100;
  double max_seconds = 2.0;  // For one measurement.
  uint64_t seed = 42;
  bool only_graphs = false;  // Leaves the timing by events and the clock out.
};

enum class Verdict { kCorrect, kWrong, kUnsupported, kFailed };

struct Result {
  Shape shape;
  std::string kernel;
  Verdict verdict = Verdict::kFailed;
  std::string reason;  // Of any verdict but kCorrect.
  double max_error = 0.0;
  double tolerance = 0.0;
  // Present when correct. Rotated: every call reads memory that has left the L2 cache.
  std::optional<Summary> graph_rotated;
  std::optional<Summary> graph_resident;  // Every call reads the same memory; only where it fits in half the L2.
  std::optional<Summary> events_rotated;
  double tflops = 0.0;  // Of graph_rotated.
  unsigned sm_clock_mhz = 0;
};

// A problem in device memory with what its output should be. Not thread-safe.
class Workload {
 public:
  // `simple` computes the output that rows outside the oracle's sample are compared with. Blocks.
  static absl::StatusOr<Workload> Create(const Shape& shape, const Device& device, AttentionBackend& simple,
                                         const MeasureOptions& options, cudaStream_t stream);

  // Checks, then times, then checks that the output has not changed. Blocks.
  Result Measure(AttentionBackend& backend, const std::string& kernel, cudaStream_t stream);

 private:
  Workload(const Shape& shape, Device device, const MeasureOptions& options, Oracle oracle, DeviceSets sets)
      : shape_(shape),
        device_(std::move(device)),
        options_(options),
        oracle_(std::move(oracle)),
        sets_(std::move(sets)) {}

  absl::StatusOr<std::vector<std::byte>> Run(AttentionBackend& backend, size_t set, cudaStream_t stream);
  // Fills the verdict, reason and error of `result`.
  void Check(absl::Span<const std::byte> output, Result& result) const;
  absl::Status Time(AttentionBackend& backend, cudaStream_t stream, Result& result);

  Shape shape_;
  Device device_;
  MeasureOptions options_;
  Oracle oracle_;
  DeviceSets sets_;
  std::vector<float> simple_output_;  // Empty if the oracle is complete.
};

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_KERNEL_MEASURE_H_
