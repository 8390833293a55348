// What the operating system says about this process: Prometheus' conventional process_* series, read at each scrape.
#ifndef FLASHCORE_SERVER_TELEMETRY_PROCESS_METRICS_H_
#define FLASHCORE_SERVER_TELEMETRY_PROCESS_METRICS_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace prometheus {
class Collectable;
}

namespace flashcore {

// What the kernel does not tell is absent.
struct ProcessReading {
  std::optional<double> cpu_seconds;         // User and system.
  std::optional<double> start_time_seconds;  // Since the Unix epoch.
  std::optional<double> resident_memory_bytes;
  std::optional<double> virtual_memory_bytes;
  std::optional<double> open_fds;
  std::optional<double> max_fds;
  std::optional<double> threads;
};

// Of this process. Reads a few files of the kernel; blocks for microseconds. Thread-safe.
ProcessReading ReadProcess();

// The fields of a /proc/PID/stat line that ReadProcess takes, in the kernel's units; absent for what is no such line.
struct ProcessStat {
  double cpu_ticks = 0;
  double threads = 0;
  double start_ticks = 0;  // Since boot.
  double virtual_bytes = 0;
  double resident_pages = 0;
};
std::optional<ProcessStat> ParseProcessStat(absl::string_view line);

// The series. Thread-safe.
std::shared_ptr<prometheus::Collectable> CreateProcessMetrics();

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_PROCESS_METRICS_H_
