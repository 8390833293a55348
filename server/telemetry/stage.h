// The eight stages of a request: the names in code, in metrics labels, in the response's Timing and on the dashboard.
#ifndef FLASHCORE_SERVER_TELEMETRY_STAGE_H_
#define FLASHCORE_SERVER_TELEMETRY_STAGE_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace flashcore {

enum class Stage : uint8_t { kReceive, kAdmit, kStage, kQueue, kUpload, kCompute, kDownload, kSend };
inline constexpr size_t kNumStages = 8;
inline constexpr std::array<absl::string_view, kNumStages> kStageNames = {"receive", "admit",   "stage",    "queue",
                                                                          "upload",  "compute", "download", "send"};

// Nanoseconds spent in each stage; 0 for a stage that the request did not reach or that its backend lacks.
struct StageTimes {
  std::array<int64_t, kNumStages> ns = {};

  int64_t& operator[](Stage stage) { return ns[static_cast<size_t>(stage)]; }
  int64_t operator[](Stage stage) const { return ns[static_cast<size_t>(stage)]; }
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_STAGE_H_
