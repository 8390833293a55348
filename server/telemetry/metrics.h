// What the server tells Prometheus. The one place that names series; the rest of the server writes to it through plain
// structs. All series exist from the start, so that a rate over the first scrape is right.
//
// Thread-safe. Nothing here blocks on I/O.
#ifndef FLASHCORE_SERVER_TELEMETRY_METRICS_H_
#define FLASHCORE_SERVER_TELEMETRY_METRICS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/telemetry/stage.h"

namespace prometheus {
class Registry;
}

namespace flashcore {

enum class Method : uint8_t { kAttend, kAttendStream, kGetServerInfo };
inline constexpr size_t kNumMethods = 3;

// Why a request was turned away before any work.
enum class Rejection : uint8_t { kInvalid, kUnsupported, kQueueFull, kMemoryFull, kDraining, kDeadline };
inline constexpr size_t kNumRejections = 6;

// One finished request: a unary call, or one request of a stream.
struct CallRecord {
  Method method = Method::kAttend;
  absl::StatusCode code = absl::StatusCode::kOk;
  StageTimes stages;      // Stages with 0 ns are not observed.
  int64_t total_ns = 0;   // From the arrival of the complete request to the end of `send`.
  int64_t bytes_in = 0;   // Tensor bytes received.
  int64_t bytes_out = 0;  // Tensor bytes sent.
};

// One launch.
struct BatchRecord {
  int64_t requests = 0;
  int64_t bytes = 0;  // Tensor bytes of the batch, in and out.
  double flops = 0;
};

// Constant facts, exported as flashcore_build_info and as gauges of the bounds.
struct ServerFacts {
  std::string version;
  std::string backend;
  std::string device;
  std::string kernel;
  int64_t max_queue_length = 0;
  int64_t max_bytes_in_flight = 0;
  int64_t max_message_bytes = 0;
  int64_t max_batch_requests = 0;
  int64_t max_batch_bytes = 0;
  int64_t lanes = 0;
};

class Metrics {
 public:
  explicit Metrics(const ServerFacts& facts);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  void RecordCall(const CallRecord& record);
  void RecordBatch(const BatchRecord& record);
  void RecordRejection(Rejection reason);

  // Gauges. Deltas, so that concurrent writers need no lock of their own.
  void AddRequestsInFlight(int64_t delta);  // Admitted, and not yet finished.
  void AddQueueLength(int64_t delta);       // Waiting for a lane.
  void AddLanesBusy(int64_t delta);
  void SetBytesInFlight(int64_t bytes);  // Staging memory in use.

  std::shared_ptr<prometheus::Registry> registry() const;

 private:
  struct Series;
  std::unique_ptr<Series> series_;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_METRICS_H_
