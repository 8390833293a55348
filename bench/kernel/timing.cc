#include "bench/kernel/timing.h"

#include <algorithm>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/cuda/runtime.h"

namespace flashcore::bench {
namespace {

constexpr double kMicrosPerMilli = 1e3;
constexpr double kMicrosPerSecond = 1e6;

struct GraphDestroy {
  void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
};
struct GraphExecDestroy {
  void operator()(cudaGraphExec_t graph) const { cudaGraphExecDestroy(graph); }
};
using Graph = std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, GraphDestroy>;
using GraphExec = std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, GraphExecDestroy>;

// Enqueues what one timing covers.
using Round = std::function<absl::Status()>;

absl::StatusOr<std::vector<double>> TimeRounds(const Round& round, int rounds, cudaStream_t stream) {
  std::vector<cuda::Event> events;
  for (int i = 0; i <= rounds; ++i) {
    absl::StatusOr<cuda::Event> event = cuda::CreateEvent(cudaEventDefault);
    if (!event.ok()) return event.status();
    events.push_back(*std::move(event));
  }
  absl::Status status = cuda::ToStatus(cudaEventRecord(events[0].get(), stream), "recording an event");
  for (int i = 1; i <= rounds && status.ok(); ++i) {
    status = round();
    if (status.ok()) status = cuda::ToStatus(cudaEventRecord(events[i].get(), stream), "recording an event");
  }
  if (status.ok()) status = cuda::ToStatus(cudaStreamSynchronize(stream), "waiting for the timed calls");
  if (!status.ok()) return status;
  std::vector<double> timings_us;
  for (int i = 1; i <= rounds; ++i) {
    float elapsed_ms = 0.0f;
    status = cuda::ToStatus(cudaEventElapsedTime(&elapsed_ms, events[i - 1].get(), events[i].get()), "reading events");
    if (!status.ok()) return status;
    timings_us.push_back(elapsed_ms * kMicrosPerMilli);
  }
  return timings_us;
}

absl::StatusOr<Summary> Time(const Round& round, const TimingOptions& options, cudaStream_t stream) {
  constexpr int kWarmUps = 2;
  absl::StatusOr<std::vector<double>> timings_us = TimeRounds(round, kWarmUps, stream);
  if (!timings_us.ok()) return timings_us.status();
  const double affordable = options.max_seconds * kMicrosPerSecond / std::max(timings_us->back(), 1.0);
  const int rounds = std::max(kMinTimings, static_cast<int>(std::min<double>(options.timings, affordable)));
  timings_us = TimeRounds(round, rounds, stream);
  if (!timings_us.ok()) return timings_us.status();
  for (double& timing : *timings_us) timing /= static_cast<double>(options.calls);
  return Summarize(*std::move(timings_us));
}

absl::Status MakeCalls(const Call& call, size_t calls, cudaStream_t stream) {
  for (size_t i = 0; i < calls; ++i) {
    absl::Status status = call(i, stream);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<GraphExec> Capture(const Call& call, size_t calls, cudaStream_t stream) {
  absl::Status status =
      cuda::ToStatus(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "beginning to capture");
  if (!status.ok()) return status;
  status = MakeCalls(call, calls, stream);
  cudaGraph_t captured = nullptr;
  // Ends the capture even when a call failed, or the stream would stay unusable.
  absl::Status ended = cuda::ToStatus(cudaStreamEndCapture(stream, &captured), "ending the capture");
  const Graph graph(captured);
  if (!status.ok()) return status;
  if (!ended.ok()) return ended;
  cudaGraphExec_t executable = nullptr;
  status = cuda::ToStatus(cudaGraphInstantiate(&executable, graph.get(), 0), "instantiating the graph");
  if (!status.ok()) return status;
  return GraphExec(executable);
}

}  // namespace

absl::StatusOr<Summary> TimeByGraph(const Call& call, const TimingOptions& options, cudaStream_t stream) {
  absl::StatusOr<GraphExec> graph = Capture(call, options.calls, stream);
  if (!graph.ok()) return graph.status();
  const auto replay = [&] { return cuda::ToStatus(cudaGraphLaunch(graph->get(), stream), "replaying the graph"); };
  return Time(replay, options, stream);
}

absl::StatusOr<Summary> TimeByEvents(const Call& call, const TimingOptions& options, cudaStream_t stream) {
  return Time([&] { return MakeCalls(call, options.calls, stream); }, options, stream);
}

}  // namespace flashcore::bench
