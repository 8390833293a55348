#include "client/load/call_stats.h"

#include <algorithm>

namespace flashcore {
namespace {

void Add(ServerTiming& sum, const ServerTiming& timing) {
  sum.receive_ns += timing.receive_ns;
  sum.admit_ns += timing.admit_ns;
  sum.stage_ns += timing.stage_ns;
  sum.queue_ns += timing.queue_ns;
  sum.upload_ns += timing.upload_ns;
  sum.compute_ns += timing.compute_ns;
  sum.download_ns += timing.download_ns;
  sum.total_ns += timing.total_ns;
  sum.batch_size += timing.batch_size;
}

}  // namespace

void CallStats::Record(const CallTimes& times, int64_t start_ns, const PreparedRequest& request,
                       const CallOutcome& outcome) {
  const int64_t delay_ns = times.sent_ns - times.intended_ns;
  if (!times.held_back) send_delay.Record(delay_ns);
  if (delay_ns > kLateNs) ++(times.held_back ? held_back : late);
  last_end_ns = std::max(last_end_ns, times.ended_ns);
  if (outcome.cancelled_by_plan) {
    ++cancelled;
    return;
  }
  const int64_t offset_ns = times.intended_ns - start_ns;
  if (!outcome.status.ok()) {
    errors.Record(outcome.status, offset_ns);
    timeline.RecordFailure(offset_ns);
    return;
  }
  latency.Record(times.ended_ns - times.intended_ns);
  send_latency.Record(times.ended_ns - times.sent_ns);
  timeline.RecordAnswer(offset_ns, times.ended_ns - times.intended_ns);
  server_total.Record(outcome.timing.total_ns);
  bytes_sent += request.bytes;
  bytes_received += outcome.bytes_received;
  flops += request.flops;
  Add(server, outcome.timing);
  if (kernel.empty()) kernel = outcome.timing.kernel;
}

void CallStats::Merge(const CallStats& other) {
  latency.Merge(other.latency);
  send_latency.Merge(other.send_latency);
  send_delay.Merge(other.send_delay);
  server_total.Merge(other.server_total);
  timeline.Merge(other.timeline);
  errors.Merge(other.errors);
  held_back += other.held_back;
  late += other.late;
  cancelled += other.cancelled;
  check_skipped += other.check_skipped;
  check_waits += other.check_waits;
  bytes_sent += other.bytes_sent;
  bytes_received += other.bytes_received;
  flops += other.flops;
  last_end_ns = std::max(last_end_ns, other.last_end_ns);
  Add(server, other.server);
  if (kernel.empty()) kernel = other.kernel;
}

}  // namespace flashcore
