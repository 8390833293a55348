// Lists of numbers as a command line has them: "16", "1,2,4,8", "1:64:*2" (from, to, factor) or "100:500:+100".
#ifndef FLASHCORE_CLIENT_LOAD_NUMBER_LIST_H_
#define FLASHCORE_CLIENT_LOAD_NUMBER_LIST_H_

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace flashcore {

inline constexpr size_t kMaxNumbers = 100;

// At least one number, all finite and >= 0, in the order written. INVALID_ARGUMENT: not such a list, one that never
// ends, or one of more than kMaxNumbers.
absl::StatusOr<std::vector<double>> ParseNumberList(absl::string_view text);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_NUMBER_LIST_H_
