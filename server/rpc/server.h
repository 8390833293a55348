// The gRPC server: where it listens, what it lets in, how it ends.
//
//   Start -> serving -> StartDrain (health NOT_SERVING, new calls UNAVAILABLE) -> WaitForCalls -> destruction
#ifndef FLASHCORE_SERVER_RPC_SERVER_H_
#define FLASHCORE_SERVER_RPC_SERVER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "kernels/attention.h"
#include "server/scheduler/scheduler.h"
#include "server/security/tls_store.h"
#include "server/security/token_store.h"
#include "server/telemetry/clock.h"
#include "server/telemetry/metrics.h"

namespace flashcore {

struct RpcOptions {
  // "host:port"; port 0: the kernel chooses.
  std::vector<std::string> listen_addresses;
  // Path; empty: none. A socket file that is in the way is replaced.
  std::string unix_socket;
  // Bounds; config.h says what they mean.
  int64_t max_message_bytes = 0;
  int64_t max_stream_in_flight = 0;
  int64_t max_concurrent_streams = 0;
  int64_t grpc_memory_bytes = 0;
  bool reflection = true;
  // What TCP connections show and ask for; nullptr: plaintext. Outlives the server.
  const TlsStore* tls = nullptr;
  // What calls must carry, of whatever connection; nullptr: nothing. Outlives the server.
  const TokenStore* tokens = nullptr;
  // "host:port" where only the health service answers, in plaintext and to everybody; empty: none.
  std::string health_listen;
  // When the clients of a connection are asked to make a new one, and how long their calls may then go on; zero: never.
  absl::Duration max_connection_age = absl::ZeroDuration();
  absl::Duration max_connection_age_grace = absl::ZeroDuration();
  // Threads that help with long copies into staging memory, and how long they look out for the next before they sleep.
  // For where a device reads it.
  int copy_helpers = 0;
  int64_t copy_poll_ns = 0;
  // Requests that take this long or longer are logged; 0: none.
  int64_t slow_log_ms = 0;
};

// Thread-safe.
class RpcServer {
 public:
  // Listens and serves. `facts` and `dtypes` are what GetServerInfo tells of the rest of the server. The scheduler,
  // metrics and clock must outlive the server.
  // UNAVAILABLE: cannot listen on one of the addresses.
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(const RpcOptions& options, const ServerFacts& facts,
                                                          const std::vector<DType>& dtypes, Scheduler& scheduler,
                                                          Metrics& metrics, const Clock& clock);

  // Stops listening, cancels what is still running, and waits for it.
  virtual ~RpcServer() = default;

  // As bound, for clients: "127.0.0.1:41234", "unix:/run/flashcore.sock".
  virtual const std::vector<std::string>& addresses() const = 0;
  // The same of health_listen; empty if there is none.
  virtual const std::string& health_address() const = 0;

  // From here on the health service says NOT_SERVING, for "" and for "flashcore.v1.AttentionService". For good.
  virtual void StopServing() = 0;

  // The scheduler drains, then StopServing; open streams end as soon as they have answered what they read.
  virtual void StartDrain() = 0;

  // Blocks until no call of AttentionService is left, for `timeout` at most. True if none is left. After StartDrain.
  virtual bool WaitForCalls(absl::Duration timeout) = 0;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_SERVER_H_
