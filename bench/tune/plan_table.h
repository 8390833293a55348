// The search's result as the table that kernels plan from.
#ifndef FLASHCORE_BENCH_TUNE_PLAN_TABLE_H_
#define FLASHCORE_BENCH_TUNE_PLAN_TABLE_H_

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "bench/tune/search.h"

namespace flashcore::bench {

// What won for one problem, or for a class of problems.
struct TunedEntry {
  std::string tuned_on;      // The problem or problems, for the reader.
  std::vector<int> key;      // What a plan looks entries up by.
  Point choice;              // One value for each dimension of the space.
  double us = 0.0;           // With the choice; of several problems, the geometric mean.
  double baseline_us = 0.0;  // As planned without the table.
};

struct PlanTable {
  std::string provenance;               // Device, date, commit, seed and effort, on one line.
  std::vector<std::string> key_names;   // Of TunedEntry::key.
  std::vector<std::string> dimensions;  // Of TunedEntry::choice.
  std::vector<TunedEntry> entries;
};

// Geometric mean of baseline_us / us; 1 if there are no entries.
double MeanGain(absl::Span<const TunedEntry> entries);

// C++ source of the entries of an array of aggregates: key, then choice, one entry to a line, with its gain in a
// comment. To be included between the array's braces.
std::string ToSource(const PlanTable& table);

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_TUNE_PLAN_TABLE_H_
