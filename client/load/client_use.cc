#include "client/load/client_use.h"

#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "client/load/clock.h"
#include "client/load/verifier.h"

namespace flashcore {
namespace {

constexpr std::chrono::milliseconds kProbePeriod(10);

double ProcessCpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return absl::ToDoubleSeconds(absl::DurationFromTimeval(usage.ru_utime) + absl::DurationFromTimeval(usage.ru_stime));
}

int AvailableCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// User and system time from a thread's stat line: "tid (name) state ...". nullopt for a verifier, and for a thread that
// has just ended.
std::optional<double> ThreadSeconds(const std::string& stat) {
  constexpr size_t kUserTime = 11;  // Fields after the name's closing parenthesis, from 0.
  constexpr size_t kSystemTime = 12;
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos || stat.find(Verifier::kThreadName) != std::string::npos) return std::nullopt;
  const std::vector<std::string> fields = absl::StrSplit(stat.substr(name_end + 1), ' ', absl::SkipEmpty());
  int64_t user = 0;
  int64_t system = 0;
  if (fields.size() <= kSystemTime || !absl::SimpleAtoi(fields[kUserTime], &user) ||
      !absl::SimpleAtoi(fields[kSystemTime], &system)) {
    return std::nullopt;
  }
  return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

std::map<int, double> ThreadsSeconds() {
  std::map<int, double> threads;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task", error)) {
    const std::optional<double> seconds = ThreadSeconds(ReadFile(entry.path() / "stat"));
    int id = 0;
    if (seconds.has_value() && absl::SimpleAtoi(entry.path().filename().string(), &id)) threads[id] = *seconds;
  }
  return threads;
}

}  // namespace

int64_t ResidentBytes() {
  constexpr size_t kResidentPages = 1;
  const std::vector<std::string> fields = absl::StrSplit(ReadFile("/proc/self/statm"), ' ');
  int64_t pages = 0;
  if (fields.size() <= kResidentPages || !absl::SimpleAtoi(fields[kResidentPages], &pages)) return 0;
  return pages * sysconf(_SC_PAGESIZE);
}

ClientUseMeter::ClientUseMeter()
    : start_ns_(SteadyLoadClock().NowNs()),
      start_cpu_s_(ProcessCpuSeconds()),
      start_threads_s_(ThreadsSeconds()),
      start_resident_bytes_(ResidentBytes()) {
  probe_ = std::jthread([this](const std::stop_token& ending) { Probe(ending); });
}

ClientUseMeter::~ClientUseMeter() = default;

void ClientUseMeter::Probe(const std::stop_token& ending) {
  pthread_setname_np(pthread_self(), "load-probe");
  prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
  while (!ending.stop_requested()) {
    const auto due = std::chrono::steady_clock::now() + kProbePeriod;
    std::this_thread::sleep_until(due);
    const auto late = std::chrono::steady_clock::now() - due;
    wake_delay_.Record(std::chrono::duration_cast<std::chrono::nanoseconds>(late).count());
  }
}

ClientUse ClientUseMeter::Finish() {
  constexpr double kNsPerSecond = 1e9;
  ClientUse use;
  use.wall_s = static_cast<double>(SteadyLoadClock().NowNs() - start_ns_) / kNsPerSecond;
  use.cpu_s = ProcessCpuSeconds() - start_cpu_s_;
  use.cores = AvailableCores();
  for (const auto& [id, seconds] : ThreadsSeconds()) {
    const auto before = start_threads_s_.find(id);
    const double used = seconds - (before == start_threads_s_.end() ? 0 : before->second);
    use.busiest_thread_s = std::max(use.busiest_thread_s, used);
  }
  use.memory_growth_bytes = ResidentBytes() - start_resident_bytes_;
  probe_.request_stop();
  probe_.join();
  use.wake_delay = wake_delay_;
  return use;
}

}  // namespace flashcore
