// CUPTI, NVIDIA's profiling library, as a source of counters: PM sampling, in which the GPU itself writes its counters
// down at a fixed interval. Loaded where it is installed, never linked. One program at a time may hold the counters.
#ifndef FLASHCORE_SERVER_TELEMETRY_GPU_CUPTI_H_
#define FLASHCORE_SERVER_TELEMETRY_GPU_CUPTI_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/telemetry/gpu/counter_source.h"

namespace flashcore {

// What would be sampled on a chip.
struct CuptiPlan {
  std::vector<std::string>
      metrics;        // CUPTI's names: tensor pipes, SMs and, on chips with their own DRAM, its throughput.
  size_t passes = 0;  // PM sampling takes 1.
};

// Asks the library, which needs no GPU for it, about a chip by its name: "AD104" is the L4's, "GH100" the H100's.
// FAILED_PRECONDITION: not in this build. UNAVAILABLE: CUPTI is not installed. UNIMPLEMENTED: no such chip, or nothing
// that schedules in one pass.
absl::StatusOr<CuptiPlan> PlanCuptiCounters(const std::string& chip);

// Samples the device with that ordinal of the CUDA runtime, which must have been used in this process before Start.
// `source` is cupti.
std::unique_ptr<CounterSource> CreateCuptiSource(int device_ordinal);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_GPU_CUPTI_H_
