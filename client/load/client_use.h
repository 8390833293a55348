// What the load itself cost this machine: whether the client had the CPU it needed to measure anything.
#ifndef FLASHCORE_CLIENT_LOAD_CLIENT_USE_H_
#define FLASHCORE_CLIENT_LOAD_CLIENT_USE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <stop_token>
#include <thread>

#include "client/load/histogram.h"

namespace flashcore {

struct ClientUse {
  double wall_s = 0;
  double cpu_s = 0;                    // User and system time of this process.
  int cores = 1;                       // That this process may run on.
  double busiest_thread_s = 0;         // CPU time of the thread that used most, verifiers aside.
  Histogram wake_delay = Histogram();  // How late a thread woke that had asked to be woken.
  int64_t memory_growth_bytes = 0;     // Of the process' resident memory.

  double cores_used() const { return wall_s > 0 ? cpu_s / wall_s : 0; }
  double busiest_thread() const { return wall_s > 0 ? busiest_thread_s / wall_s : 0; }
};

// Resident memory of this process now.
int64_t ResidentBytes();

// Measures from its construction until Finish. Not thread-safe.
class ClientUseMeter {
 public:
  ClientUseMeter();
  ~ClientUseMeter();
  ClientUseMeter(const ClientUseMeter&) = delete;
  ClientUseMeter& operator=(const ClientUseMeter&) = delete;

  // Once.
  ClientUse Finish();

 private:
  void Probe(const std::stop_token& ending);

  const int64_t start_ns_;
  const double start_cpu_s_;
  const std::map<int, double> start_threads_s_;  // By thread id.
  const int64_t start_resident_bytes_;
  Histogram wake_delay_;  // The probe's until it has joined.
  std::jthread probe_;
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_CLIENT_USE_H_
