#include "client/load/call_stats.h"

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

int64_t CallStats::failed() const {
  int64_t sum = 0;
  for (const auto& [code, error] : errors) sum += error.count;
  return sum;
}

void CallStats::RecordAnswer(int64_t latency_ns, const PreparedRequest& request, const AttendResult& answer) {
  latency.Record(latency_ns);
  server_total.Record(answer.timing.total_ns);
  bytes_sent += request.bytes;
  bytes_received +=
      static_cast<int64_t>(answer.o.size_bytes() + (answer.lse.has_value() ? answer.lse->size_bytes() : 0));
  flops += request.flops;
  Add(server, answer.timing);
  if (kernel.empty()) kernel = answer.timing.kernel;
}

void CallStats::RecordError(const absl::Status& status) {
  ErrorCount& error = errors[status.code()];
  if (error.count++ == 0) error.first_message = std::string(status.message());
}

void CallStats::Merge(const CallStats& other) {
  latency.Merge(other.latency);
  server_total.Merge(other.server_total);
  for (const auto& [code, error] : other.errors) {
    ErrorCount& sum = errors[code];
    if (sum.count == 0) sum.first_message = error.first_message;
    sum.count += error.count;
  }
  bytes_sent += other.bytes_sent;
  bytes_received += other.bytes_received;
  flops += other.flops;
  Add(server, other.server);
  if (kernel.empty()) kernel = other.kernel;
}

}  // namespace flashcore
