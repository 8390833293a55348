// The server's configuration: a plain struct, and the flags that fill it.
//
// Every knob is an Abseil flag, defined once, in config.cc or security_options.cc; its default is the one written here
// or in the struct it goes to, its bounds and help are there. `--help` lists them, `--flagfile=path` reads them from a
// file, one per line. Names have underscores: Abseil does not take dashes for them.
//
// How the bounds nest, checked at start:
//   max_message_bytes * 2.5 <= max_batch_bytes <= staging_bytes       max_message_bytes <= grpc_memory_bytes
// so that every request that gRPC lets in can be computed: O is no larger than Q, LSE no larger than a quarter of it
// (head_dim >= 8), and the rest is alignment.
#ifndef FLASHCORE_SERVER_CONFIG_CONFIG_H_
#define FLASHCORE_SERVER_CONFIG_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/config/security_options.h"
#include "server/engine/engine.h"
#include "server/scheduler/scheduler.h"
#include "server/telemetry/logging.h"

namespace flashcore {

struct ServerOptions {
  // TCP addresses, "host:port", IPv6 hosts in brackets; port 0: the kernel chooses. Loopback unless told otherwise.
  // --listen
  std::vector<std::string> listen_addresses = {"127.0.0.1:50051"};
  // Path of a Unix socket to listen on as well; empty: none. --unix_socket
  std::string unix_socket;
  // "host:port" of the Prometheus endpoint, port 0 as above; empty: none. --metrics_address
  std::string metrics_address = "127.0.0.1:9464";
  // How often the hardware is looked at for it. --sample_period
  absl::Duration sample_period = absl::Seconds(1);
  // Where the counters of a GPU come from, as in HardwareOptions. --gpu_counters
  std::string gpu_counters = "auto";

  // --backend, --kernel, --cpu_threads, --devices, --staging_bytes (arena_bytes), --max_batch_bytes.
  EngineOptions engine = {.backend = {},
                          .devices = {0},
                          .arena_bytes = int64_t{1} << 30,
                          .max_batch_bytes = SchedulerOptions().max_batch_bytes};
  // Whether engine.backend may be kPassthroughBackend. --allow_passthrough
  bool allow_passthrough = false;
  // --max_queue_length, --lanes, --max_batch_requests, --max_batch_bytes, --max_batch_gflop, --max_queue_delay,
  // --max_backlog, --lane_poll (and so engine.lane_poll_ns).
  SchedulerOptions scheduler = {.lane_poll_ns = 2'000'000};

  // Largest message that gRPC accepts. --max_message_bytes
  int64_t max_message_bytes = int64_t{256} << 20;
  // Unanswered requests of one AttendStream before the server stops reading from it. --max_stream_in_flight
  int64_t max_stream_in_flight = 32;
  // Concurrent calls on one connection; more wait in the client. --max_concurrent_streams
  int64_t max_concurrent_streams = 256;
  // What gRPC itself may hold, mostly messages on their way in and out. --grpc_memory_bytes
  int64_t grpc_memory_bytes = int64_t{2} << 30;

  // How long accepted calls may go on after SIGTERM. --drain_timeout
  absl::Duration drain_timeout = absl::Seconds(30);
  // Whether gRPC server reflection is served. --reflection
  bool reflection = true;

  // Requests that take this long or longer are logged with the time of each stage; 0: none. --slow_log_ms
  int64_t slow_log_ms = 0;
  // --log_level, --log_format
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kText;

  SecurityOptions security;
};

// What becomes of --lane_poll on a machine with so many CPUs: 0 if they are few.
int64_t LanePollNs(absl::Duration requested, int cpus);

// INVALID_ARGUMENT names the flag and what would be right.
absl::Status ValidateServerOptions(const ServerOptions& options);

// From the parsed command line; call absl::ParseCommandLine first. Validated.
absl::StatusOr<ServerOptions> ServerOptionsFromFlags();

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_CONFIG_CONFIG_H_
