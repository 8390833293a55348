#include "bench/tune/plan_timings.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace flashcore::bench {
namespace {

absl::Status Malformed(absl::string_view line, absl::string_view reason) {
  return absl::InvalidArgumentError(absl::StrCat("timing '", line, "': ", reason));
}

}  // namespace

std::string ToLine(const PlanTiming& timing) {
  return absl::StrFormat("%d %d %d %s %d %d %d %d %.2f", timing.device.multiprocessors, timing.device.l2_bytes,
                         timing.device.shared_bytes_per_sm, ToString(timing.problem), static_cast<int>(timing.kind),
                         timing.cut.splits, timing.cut.keys_per_split, timing.cut.whole_tiles, timing.us);
}

absl::StatusOr<PlanTiming> ParseTiming(absl::string_view line) {
  constexpr size_t kFields = 9;
  constexpr size_t kWholeTiles = 7;
  std::vector<absl::string_view> fields = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  if (fields.size() == kFields - 1) fields.insert(fields.begin() + kWholeTiles, "0");
  if (fields.size() != kFields) return Malformed(line, absl::StrCat("has ", fields.size(), " fields, not ", kFields));
  absl::StatusOr<Shape> problem = ParseShape(fields[3]);
  if (!problem.ok()) return Malformed(line, problem.status().message());
  if (!cuda::FusedSupports(*problem) || problem->q_len == 0) return Malformed(line, "the fused kernels do not run it");
  PlanTiming timing;
  timing.problem = *problem;
  int kind = 0;
  const bool numbers =
      absl::SimpleAtoi(fields[0], &timing.device.multiprocessors) &&
      absl::SimpleAtoi(fields[1], &timing.device.l2_bytes) &&
      absl::SimpleAtoi(fields[2], &timing.device.shared_bytes_per_sm) && absl::SimpleAtoi(fields[4], &kind) &&
      absl::SimpleAtoi(fields[5], &timing.cut.splits) && absl::SimpleAtoi(fields[6], &timing.cut.keys_per_split) &&
      absl::SimpleAtoi(fields[kWholeTiles], &timing.cut.whole_tiles) && absl::SimpleAtod(fields[8], &timing.us);
  if (!numbers) return Malformed(line, "a number is none");
  if (kind < 0 || kind >= cuda::kTileKinds) return Malformed(line, "there is no such kind of tile");
  if (timing.device.multiprocessors < 1 || timing.cut.splits < 1 || timing.cut.keys_per_split < 1 ||
      timing.cut.whole_tiles < 0 || !(timing.us > 0.0)) {
    return Malformed(line, "a number is too small");
  }
  timing.kind = static_cast<cuda::TileKind>(kind);
  return timing;
}

absl::StatusOr<std::vector<PlanTiming>> ReadTimings(std::istream& text) {
  std::vector<PlanTiming> timings;
  for (std::string line; std::getline(text, line);) {
    if (line.empty() || line.front() == '#') continue;
    absl::StatusOr<PlanTiming> timing = ParseTiming(line);
    if (!timing.ok()) return timing.status();
    timings.push_back(*timing);
  }
  return timings;
}

}  // namespace flashcore::bench
