// Results for people and for programs.
#ifndef FLASHCORE_BENCH_KERNEL_REPORT_H_
#define FLASHCORE_BENCH_KERNEL_REPORT_H_

#include <optional>
#include <string>

#include "absl/types/span.h"
#include "bench/kernel/device.h"
#include "bench/kernel/measure.h"

namespace flashcore::bench {

// What was run on what, and when.
struct RunRecord {
  std::string program;
  std::string version;
  std::string commit;
  std::string date;  // ISO 8601, UTC.
  Device device;
  DeviceState state;  // At the end of the run.
  int sms_used = 0;   // device.sm_count, or those of the slice.
  MeasureOptions options;
};

// "8.04 (8.01-8.10)", or "-".
std::string Format(const std::optional<Summary>& summary);

// One line per result, with a header.
std::string Table(const RunRecord& record, absl::Span<const Result> results);

// Indented, with a newline at the end.
std::string Json(const RunRecord& record, absl::Span<const Result> results);

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_KERNEL_REPORT_H_
