// Tensor-core utilisation without counters: what was computed, against what the tensor cores could have computed in
// that time at the clock that they had.
#ifndef FLASHCORE_SERVER_TELEMETRY_GPU_ESTIMATE_SOURCE_H_
#define FLASHCORE_SERVER_TELEMETRY_GPU_ESTIMATE_SOURCE_H_

#include <functional>
#include <memory>
#include <optional>

#include "server/telemetry/clock.h"
#include "server/telemetry/gpu/counter_source.h"

namespace flashcore {

struct EstimateInputs {
  // Floating-point operations computed on tensor cores so far. Thread-safe.
  std::function<double()> flops;
  // The SMs' current clock in Hz; absent where nobody knows it.
  std::function<std::optional<double>()> sm_clock_hertz;
  // Of all tensor cores together; absent for an unknown chip, or for a kernel that does not use them.
  std::optional<double> flops_per_clock;
};

// `source` is estimate. It errs low: masked pairs that a kernel computes in vain are not counted, and work is counted
// when its batch ends. The clock must outlive the source.
std::unique_ptr<CounterSource> CreateEstimateSource(EstimateInputs inputs, const Clock& clock);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_GPU_ESTIMATE_SOURCE_H_
