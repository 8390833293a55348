// How urgent a request is: the contract's Priority, in the scheduler and in metrics labels.
#ifndef FLASHCORE_SERVER_TELEMETRY_PRIORITY_H_
#define FLASHCORE_SERVER_TELEMETRY_PRIORITY_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace flashcore {

// In rising order.
enum class Priority : uint8_t { kLow, kNormal, kHigh };
inline constexpr size_t kNumPriorities = 3;
inline constexpr std::array<absl::string_view, kNumPriorities> kPriorityNames = {"low", "normal", "high"};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_PRIORITY_H_
