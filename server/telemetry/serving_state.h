// Whether the server answers calls, as told to probes, to Prometheus and on the status page.
#ifndef FLASHCORE_SERVER_TELEMETRY_SERVING_STATE_H_
#define FLASHCORE_SERVER_TELEMETRY_SERVING_STATE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace flashcore {

enum class ServingPhase : uint8_t {
  kStarting,  // Not listening yet.
  kServing,
  kDraining,  // Finishing accepted calls, refusing new ones.
  kFailed,    // The device failed; only a new process can help.
};
inline constexpr size_t kNumServingPhases = 4;

inline absl::string_view ServingPhaseName(ServingPhase phase) {
  constexpr absl::string_view kNames[kNumServingPhases] = {"starting", "serving", "draining", "failed"};
  return kNames[static_cast<size_t>(phase)];
}

// Thread-safe; never blocks.
class ServingState {
 public:
  void Set(ServingPhase phase) { phase_ = phase; }
  ServingPhase phase() const { return phase_; }
  // Whether a balancer should send calls.
  bool ready() const { return phase_ == ServingPhase::kServing; }
  // Whether a supervisor should leave the process alone.
  bool healthy() const { return phase_ != ServingPhase::kFailed; }

 private:
  std::atomic<ServingPhase> phase_ = ServingPhase::kStarting;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_SERVING_STATE_H_
