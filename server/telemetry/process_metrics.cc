#include "server/telemetry/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "prometheus/collectable.h"
#include "server/telemetry/family.h"

namespace flashcore {
namespace {

// Where proc(5)'s numbered fields lie after the command's name, which is field 2 and may hold anything.
constexpr size_t kFirstFieldAfterName = 3;
constexpr size_t kUserTicksField = 14;
constexpr size_t kSystemTicksField = 15;
constexpr size_t kThreadsField = 20;
constexpr size_t kStartTicksField = 22;
constexpr size_t kVirtualBytesField = 23;
constexpr size_t kResidentPagesField = 24;
constexpr char kBootTimeKey[] = "btime ";

std::string ReadFile(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::optional<double> BootTimeSeconds() {
  const std::string text = ReadFile("/proc/stat");
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    double seconds = 0;
    if (absl::ConsumePrefix(&line, kBootTimeKey) && absl::SimpleAtod(line, &seconds)) return seconds;
  }
  return std::nullopt;
}

std::optional<double> OpenFds() {
  std::error_code error;
  double count = 0;
  std::filesystem::directory_iterator entry("/proc/self/fd", error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) ++count;
  // One of them was this very loop's.
  return error ? std::nullopt : std::optional<double>(count - 1);
}

std::optional<double> MaxFds() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return std::nullopt;
  return static_cast<double>(limit.rlim_cur);
}

class ProcessMetrics : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override {
    const ProcessReading reading = ReadProcess();
    std::vector<prometheus::MetricFamily> families;
    AppendCounter(families, "process_cpu_seconds_total", "CPU time of the process, user and system.",
                  {{{}, reading.cpu_seconds}});
    AppendGauge(families, "process_start_time_seconds", "When the process started, since the Unix epoch.",
                {{{}, reading.start_time_seconds}});
    AppendGauge(families, "process_resident_memory_bytes", "Memory of the process that is in RAM.",
                {{{}, reading.resident_memory_bytes}});
    AppendGauge(families, "process_virtual_memory_bytes", "Address space of the process.",
                {{{}, reading.virtual_memory_bytes}});
    AppendGauge(families, "process_open_fds", "Open file descriptors.", {{{}, reading.open_fds}});
    AppendGauge(families, "process_max_fds", "Most file descriptors that the process may open.",
                {{{}, reading.max_fds}});
    AppendGauge(families, "process_threads", "Threads of the process.", {{{}, reading.threads}});
    return families;
  }
};

}  // namespace

std::optional<ProcessStat> ParseProcessStat(absl::string_view line) {
  const size_t name_end = line.rfind(')');
  if (name_end == absl::string_view::npos) return std::nullopt;
  const std::vector<absl::string_view> fields = absl::StrSplit(line.substr(name_end + 1), ' ', absl::SkipWhitespace());
  const auto field = [&fields](size_t number, double& value) {
    const size_t index = number - kFirstFieldAfterName;
    return index < fields.size() && absl::SimpleAtod(fields[index], &value);
  };
  ProcessStat stat;
  double user_ticks = 0;
  double system_ticks = 0;
  if (!field(kUserTicksField, user_ticks) || !field(kSystemTicksField, system_ticks) ||
      !field(kThreadsField, stat.threads) || !field(kStartTicksField, stat.start_ticks) ||
      !field(kVirtualBytesField, stat.virtual_bytes) || !field(kResidentPagesField, stat.resident_pages)) {
    return std::nullopt;
  }
  stat.cpu_ticks = user_ticks + system_ticks;
  return stat;
}

ProcessReading ReadProcess() {
  ProcessReading reading;
  reading.open_fds = OpenFds();
  reading.max_fds = MaxFds();
  const std::optional<ProcessStat> stat = ParseProcessStat(ReadFile("/proc/self/stat"));
  if (!stat.has_value()) return reading;
  const auto ticks_per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  reading.cpu_seconds = stat->cpu_ticks / ticks_per_second;
  reading.threads = stat->threads;
  reading.virtual_memory_bytes = stat->virtual_bytes;
  reading.resident_memory_bytes = stat->resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE));
  if (const std::optional<double> boot = BootTimeSeconds()) {
    reading.start_time_seconds = *boot + stat->start_ticks / ticks_per_second;
  }
  return reading;
}

std::shared_ptr<prometheus::Collectable> CreateProcessMetrics() { return std::make_shared<ProcessMetrics>(); }

}  // namespace flashcore
