#include "client/load/runner.h"

#include <algorithm>
#include <thread>

#include "client/load/closed_loop.h"
#include "client/load/open_loop.h"

namespace flashcore {
namespace {

std::unique_ptr<Loop> MakeLoop(const LoopParts& parts) {
  if (parts.options.open_loop()) return std::make_unique<OpenLoop>(parts);
  return std::make_unique<ClosedLoop>(parts);
}

}  // namespace

Runner::Runner(Transport& transport, const Workload& workload, Verifier* verifier, const RunOptions& options,
               LoadClock& clock)
    : options_(options),
      clock_(clock),
      control_(options.phases, clock),
      recorder_(std::thread::hardware_concurrency()) {
  loop_ = MakeLoop({.transport = transport,
                    .workload = workload,
                    .verifier = verifier,
                    .clock = clock_,
                    .control = control_,
                    .recorder = recorder_,
                    .options = options_});
}

Runner::~Runner() = default;

RunResult Runner::Run(const std::function<void(const RunProgress&)>& progress) {
  control_.Begin();
  MeterIfMeasuring();
  loop_->Start();
  int64_t last_ns = control_.run_start_ns();
  int64_t next_ns = AfterNs(last_ns, kProgressInterval);
  for (;;) {
    const int64_t now_ns = clock_.NowNs();
    int64_t until_ns = next_ns;
    if (meter_ == nullptr) until_ns = std::min(until_ns, control_.measure_start_ns());
    const bool over = loop_->WorkFor(absl::Nanoseconds(std::max<int64_t>(0, until_ns - now_ns)));
    MeterIfMeasuring();
    if (over) break;
    control_.GiveUpIfHopeless();
    if (control_.stopping()) loop_->Wake();
    if (clock_.NowNs() >= next_ns) {
      progress(Progress(last_ns));
      last_ns = clock_.NowNs();
      next_ns = AfterNs(last_ns, kProgressInterval);
    }
  }
  return Collect();
}

void Runner::Stop() {
  control_.Stop();
  loop_->Wake();
}

void Runner::MeterIfMeasuring() {
  if (meter_ == nullptr && clock_.NowNs() >= control_.measure_start_ns()) meter_ = std::make_unique<ClientUseMeter>();
}

RunProgress Runner::Progress(int64_t last_ns) {
  const int64_t now_ns = clock_.NowNs();
  return {.warming_up = now_ns < control_.measure_start_ns(),
          .elapsed = absl::Nanoseconds(now_ns - control_.run_start_ns()),
          .answered = control_.answered(),
          .failed = control_.failed(),
          .in_flight = loop_->in_flight(),
          .recent = recorder_.TakeRecent(),
          .recent_span = absl::Nanoseconds(now_ns - last_ns)};
}

RunResult Runner::Collect() {
  RunResult result;
  // The verifier may still hold a slot's last answer, never a slot: those have all ended.
  result.stats = recorder_.Merged();
  const int64_t start_ns = control_.measure_start_ns();
  result.elapsed = absl::Nanoseconds(std::max<int64_t>(0, result.stats.last_end_ns - start_ns));
  result.unsent = loop_->unsent();
  result.gave_up = control_.gave_up();
  result.stopped = control_.stopped_by_caller();
  if (meter_ != nullptr) result.client = meter_->Finish();
  return result;
}

}  // namespace flashcore
