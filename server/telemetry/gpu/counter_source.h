// Who can say how busy the units of a GPU were. There are several ways to learn it, none of which works everywhere;
// counter_chain.h chooses.
#ifndef FLASHCORE_SERVER_TELEMETRY_GPU_COUNTER_SOURCE_H_
#define FLASHCORE_SERVER_TELEMETRY_GPU_COUNTER_SOURCE_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace flashcore {

// Means over a stretch of time, each from 0 to 1. What a source cannot tell is absent, never 0.
struct CounterReading {
  std::optional<double> tensor_ratio;  // Cycles in which the tensor pipes worked, of all cycles.
  std::optional<double> sm_ratio;      // Cycles in which an SM had a warp, of all cycles.
  std::optional<double> dram_ratio;    // Throughput of device memory, of its peak.
};

// Used by one thread at a time. Destruction ends the measurement.
class CounterSource {
 public:
  virtual ~CounterSource() = default;

  // The value of the label `source`. A literal.
  virtual absl::string_view name() const = 0;

  // Begins to measure; may block for a second. PERMISSION_DENIED: the driver reserves its counters for administrators.
  // UNAVAILABLE: a library is missing, or another program holds the counters. UNIMPLEMENTED: not this chip.
  // FAILED_PRECONDITION: not in this build. INTERNAL: anything else. The message says what to do about it, where
  // something can be done.
  virtual absl::Status Start() = 0;

  // What happened since Start or the previous Read. Blocks for milliseconds. Errors as Start; the next call may
  // succeed.
  virtual absl::StatusOr<CounterReading> Read() = 0;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_GPU_COUNTER_SOURCE_H_
