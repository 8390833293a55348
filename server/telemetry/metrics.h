// What the server tells Prometheus. The one place that names series; the rest of the server writes to it through plain
// structs. All series exist from the start, so that a rate over the first scrape is right.
//
// Names: flashcore_ first, then the thing, then the base unit (seconds, bytes), `_total` for counters. metrics.cc lists
// them all with their help texts. Nothing is looked up by label while the server runs: recording a call costs a few
// atomic additions and, for each histogram that it touches, one short lock.
//
// Thread-safe. Nothing here blocks on I/O.
#ifndef FLASHCORE_SERVER_TELEMETRY_METRICS_H_
#define FLASHCORE_SERVER_TELEMETRY_METRICS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/telemetry/priority.h"
#include "server/telemetry/stage.h"

namespace prometheus {
class Collectable;
}

namespace flashcore {

enum class Method : uint8_t { kAttend, kAttendStream, kGetServerInfo };
inline constexpr size_t kNumMethods = 3;
inline constexpr std::array<absl::string_view, kNumMethods> kMethodNames = {"Attend", "AttendStream", "GetServerInfo"};

// Why a request was turned away before any compute. kInvalid is rpc's to record, the others the scheduler's.
enum class Rejection : uint8_t {
  kInvalid,
  kUnsupported,
  kTooLarge,
  kQueueFull,
  kMemoryFull,
  kConnectionShare,
  kDraining,
  kDeadline,
  kDeviceFault,
};
inline constexpr size_t kNumRejections = 9;

// One finished request: a unary call, or one request of a stream.
struct CallRecord {
  Method method = Method::kAttend;
  absl::StatusCode code = absl::StatusCode::kOk;
  StageTimes stages;      // Stages with 0 ns are not observed.
  int64_t total_ns = 0;   // From the arrival of the complete request to the end of `send`.
  int64_t bytes_in = 0;   // Tensor bytes received.
  int64_t bytes_out = 0;  // Tensor bytes sent.
};

// One batch that was computed.
struct BatchRecord {
  size_t device = 0;  // Its position in ServerFacts::devices.
  int64_t requests = 0;
  int64_t bytes = 0;  // Tensor bytes of the batch, in and out, as its budget counts them.
  double flops = 0;   // As AttentionFlops counts.
};

// One kernel of one device.
struct KernelLaunches {
  size_t device = 0;  // Its position in ServerFacts::devices.
  std::string kernel;
  int64_t launches = 0;  // So far.
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
  double max_batch_flops = 0;
  int64_t lanes = 0;               // Of all devices together.
  std::vector<int> devices = {0};  // As --devices numbers them.
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

  // Floating-point operations recorded so far for the device at that position of ServerFacts::devices.
  double DeviceFlops(size_t device) const;

  // Requests recorded with `code` so far, of every method.
  int64_t RecordedCalls(absl::StatusCode code) const;

  // Gauges, kept by the scheduler. Deltas, so that concurrent writers need no lock of their own.
  void AddRequestsInFlight(int64_t delta);                // Admitted, and `done` not yet called.
  void AddQueueLength(Priority priority, int64_t delta);  // Admitted, and not yet on a lane.
  void AddLanesBusy(int64_t delta);

  // Where the gauge of staging memory in use comes from: asked at each scrape, on the scraping thread. Answers may
  // leave memory long after their request is done, so no stage could keep it exact. Call it before the first scrape.
  void SetBytesInFlightSource(std::function<int64_t()> source);
  // Where the counters of launches come from, in the same way: what launches counts them. Always the same kernels.
  void SetKernelLaunchesSource(std::function<std::vector<KernelLaunches>()> source);

  // What a scrape sees. Lives on after the Metrics; the sources above must then still be callable.
  std::shared_ptr<prometheus::Collectable> collectable() const;
  // The same in Prometheus' text format.
  std::string ExpositionText() const;

 private:
  struct Series;
  std::shared_ptr<Series> series_;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_METRICS_H_
