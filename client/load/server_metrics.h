// What the server's own /metrics say of a run: the difference of two scrapes, stage by stage.
#ifndef FLASHCORE_CLIENT_LOAD_SERVER_METRICS_H_
#define FLASHCORE_CLIENT_LOAD_SERVER_METRICS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/load/exposition.h"

namespace flashcore {

// The stages of a request, in their order, as the server names them.
const std::vector<std::string>& StageNames();

struct StageTime {
  std::string name;
  int64_t count = 0;  // Requests that went through it.
  double mean_ms = 0;
  double p50_ms = 0;  // Interpolated between the buckets' bounds.
  double p99_ms = 0;
};

// Everything that the server did between the scrapes, warm-up and other clients included.
struct ServerMetrics {
  std::vector<StageTime> stages;              // Those that any request went through.
  StageTime request;                          // The whole request, at the server.
  std::map<std::string, int64_t> codes;       // Finished requests by code; zeros left out.
  std::map<std::string, int64_t> rejections;  // By reason; zeros left out.
  int64_t batches = 0;
  double mean_batch_requests = 0;
  // At the end.
  double requests_in_flight = 0;
  double in_flight_bytes = 0;
};

ServerMetrics Compare(const Exposition& before, const Exposition& after);

// Scrapes `address` twice, at its construction and at Finish. Blocks while it does.
class MetricsScraper {
 public:
  // An empty address scrapes nothing.
  explicit MetricsScraper(const std::string& address);

  // NOT_FOUND if there was no address; else why a scrape failed, if one did.
  absl::StatusOr<ServerMetrics> Finish() const;

 private:
  const std::string address_;
  const absl::StatusOr<Exposition> before_;
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_SERVER_METRICS_H_
