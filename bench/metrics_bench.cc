// What telling about a request costs: everything that the server records for one finished call that was computed in a
// batch of its own, which is the dearest case. Threads write to the same series, as the server's do.
//
//   build/release/bin/metrics_bench
#include <benchmark/benchmark.h>

#include <cstdint>

#include "kernels/launch_counts.h"
#include "server/telemetry/metrics.h"

namespace flashcore {
namespace {

constexpr int64_t kStageNs = 50'000;
constexpr int64_t kBytes = 1 << 20;
constexpr double kFlops = 5e8;

CallRecord OneCall() {
  CallRecord call;
  for (int64_t& ns : call.stages.ns) ns = kStageNs;
  call.total_ns = kStageNs * static_cast<int64_t>(kNumStages);
  call.bytes_in = kBytes;
  call.bytes_out = kBytes;
  return call;
}

void RecordRequest(Metrics& metrics, LaunchCounts& launches, const CallRecord& call) {
  metrics.AddRequestsInFlight(1);
  metrics.AddQueueLength(Priority::kNormal, 1);
  metrics.AddQueueLength(Priority::kNormal, -1);
  metrics.AddLanesBusy(1);
  launches.Add(0, 1);
  metrics.RecordBatch({.requests = 1, .bytes = 2 * kBytes, .flops = kFlops});
  metrics.AddLanesBusy(-1);
  metrics.RecordCall(call);
  metrics.AddRequestsInFlight(-1);
}

// The server's as a whole: one for all threads.
Metrics& SharedMetrics() {
  static Metrics metrics({});
  return metrics;
}

void BM_Request(benchmark::State& state) {
  static LaunchCounts launches({"cuda/scalar"});
  Metrics& metrics = SharedMetrics();
  const CallRecord call = OneCall();
  while (state.KeepRunning()) RecordRequest(metrics, launches, call);
}
BENCHMARK(BM_Request)->Threads(1)->Threads(2)->Threads(4);

void BM_RecordCall(benchmark::State& state) {
  Metrics& metrics = SharedMetrics();
  const CallRecord call = OneCall();
  while (state.KeepRunning()) metrics.RecordCall(call);
}
BENCHMARK(BM_RecordCall);

void BM_RecordBatch(benchmark::State& state) {
  Metrics& metrics = SharedMetrics();
  while (state.KeepRunning()) metrics.RecordBatch({.requests = 1, .bytes = kBytes, .flops = kFlops});
}
BENCHMARK(BM_RecordBatch);

// Not on any request's way, but beside it: a scrape takes each histogram's lock.
void BM_Scrape(benchmark::State& state) {
  const Metrics& metrics = SharedMetrics();
  while (state.KeepRunning()) benchmark::DoNotOptimize(metrics.ExpositionText());
}
BENCHMARK(BM_Scrape)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace flashcore

BENCHMARK_MAIN();
