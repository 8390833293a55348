// The HTTP endpoint for those who watch the server:
//
//   GET /metrics   Prometheus' text format
//   GET /healthz   200, or 503 once the device failed: a supervisor should start a new process
//   GET /readyz    200 while calls are answered, 503 before and after
//   GET /          the status page, for a person with a browser
//
// The probes' bodies name the phase. There is no authentication and nothing here that changes the server.
#ifndef FLASHCORE_SERVER_TELEMETRY_METRICS_SERVER_H_
#define FLASHCORE_SERVER_TELEMETRY_METRICS_SERVER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/telemetry/serving_state.h"

struct mg_context;

namespace prometheus {
class Collectable;
}

namespace flashcore {

// Serves from its own threads from Start to destruction, which waits for scrapes in progress.
class MetricsServer {
 public:
  // Listens on `address`, "host:port" with an IPv4 address or "localhost"; port 0: the kernel chooses. A scrape asks
  // the collectables in order; flashcore_serving_phase comes from `state`. UNAVAILABLE: cannot listen there, for
  // whatever reason. INVALID_ARGUMENT: more than one address.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(
      absl::string_view address, std::vector<std::shared_ptr<prometheus::Collectable>> collectables,
      std::shared_ptr<const ServingState> state);

  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  // The port listened on; what the kernel chose if 0 was asked for.
  int port() const { return port_; }

 private:
  struct Endpoint;

  MetricsServer();
  void StopListening();

  std::unique_ptr<Endpoint> endpoint_;  // What answers; the library's threads use it until the context has stopped.
  mg_context* context_ = nullptr;
  std::string host_;
  int port_ = 0;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_METRICS_SERVER_H_
