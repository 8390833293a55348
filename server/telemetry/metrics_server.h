// The HTTP endpoint that Prometheus scrapes: GET /metrics.
#ifndef FLASHCORE_SERVER_TELEMETRY_METRICS_SERVER_H_
#define FLASHCORE_SERVER_TELEMETRY_METRICS_SERVER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/telemetry/metrics.h"

namespace prometheus {
class Exposer;
}

namespace flashcore {

// Serves from its own threads from Start to destruction, which waits for scrapes in progress and takes up to 2 s: that
// is how often the HTTP library looks whether it should stop.
class MetricsServer {
 public:
  // Listens on `address`, "host:port" with an IPv4 address or "localhost"; port 0: the kernel chooses.
  // The metrics must outlive the server.
  // UNAVAILABLE: cannot listen there, for whatever reason. INVALID_ARGUMENT: more than one address.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(absl::string_view address, const Metrics& metrics);

  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  // The port listened on; what the kernel chose if 0 was asked for.
  int port() const { return port_; }

 private:
  MetricsServer(std::unique_ptr<prometheus::Exposer> exposer, std::shared_ptr<prometheus::Collectable> collectable,
                int port);

  std::shared_ptr<prometheus::Collectable> collectable_;  // The exposer holds it weakly.
  std::unique_ptr<prometheus::Exposer> exposer_;
  int port_;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_METRICS_SERVER_H_
