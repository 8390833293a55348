#include "bench/tune/plan_table.h"

#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace flashcore::bench {

double MeanGain(absl::Span<const TunedEntry> entries) {
  double log_sum = 0.0;
  for (const TunedEntry& entry : entries) log_sum += std::log(entry.baseline_us / entry.us);
  return entries.empty() ? 1.0 : std::exp(log_sum / static_cast<double>(entries.size()));
}

std::string ToSource(const PlanTable& table) {
  std::string source = absl::StrFormat(
      "// Written by flashcore_tune; run it again rather than edit this. %s.\n"
      "// Faster than the plan without this table by %.3f (geometric mean).\n"
      "// %s, %s\n"
      "// clang-format off\n",
      table.provenance, MeanGain(table.entries), absl::StrJoin(table.key_names, ", "),
      absl::StrJoin(table.dimensions, ", "));
  for (const TunedEntry& entry : table.entries) {
    absl::StrAppendFormat(&source, "{%s, %s},  // %s: %.2f us, %.3f times as fast\n", absl::StrJoin(entry.key, ", "),
                          absl::StrJoin(entry.choice, ", "), entry.tuned_on, entry.us, entry.baseline_us / entry.us);
  }
  absl::StrAppend(&source, "// clang-format on\n");
  return source;
}

}  // namespace flashcore::bench
