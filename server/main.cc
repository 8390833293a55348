// flashcore_server: flags -> engine -> self-test -> scheduler -> metrics -> gRPC -> wait -> drain.
#include <grpc/grpc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "kernels/cpu/cpu_info.h"
#include "server/config/config.h"
#include "server/engine/engine.h"
#include "server/engine/passthrough.h"
#include "server/open_files.h"
#include "server/rpc/copy_helpers.h"
#include "server/rpc/grpc_log.h"
#include "server/rpc/server.h"
#include "server/scheduler/scheduler.h"
#include "server/security/security_metrics.h"
#include "server/security/tls_store.h"
#include "server/security/token_store.h"
#include "server/self_test.h"
#include "server/stop_latch.h"
#include "server/telemetry/clock.h"
#include "server/telemetry/hardware.h"
#include "server/telemetry/logging.h"
#include "server/telemetry/metrics.h"
#include "server/telemetry/metrics_server.h"
#include "server/telemetry/process_metrics.h"
#include "server/telemetry/serving_state.h"

namespace flashcore {
namespace {

// The one kernel of the cuda backend that computes without tensor cores.
constexpr absl::string_view kKernelWithoutTensorCores = "cuda/scalar";

constexpr char kUsage[] =
    R"(Serves exact attention, flashcore.v1.AttentionService, over gRPC.

  flashcore_server                                       the best backend here, on 127.0.0.1:50051
  flashcore_server --backend=cpu --cpu_threads=8         on eight CPU threads
  flashcore_server --devices=0,1                         on two GPUs, behind one queue
  flashcore_server --listen=0.0.0.0:50051 --tls_cert=server.pem --tls_key=server.key --auth_tokens_file=tokens
                                                         for everybody who has a token
  flashcore_server --flagfile=/etc/flashcore/flags       flags from a file, one per line

It logs to stderr; msg=listening carries each address as bound, msg=metrics that of the Prometheus endpoint, and
msg=serving comes when requests are answered. SIGTERM or SIGINT drains: the health service says NOT_SERVING, new calls
get UNAVAILABLE, accepted ones finish. A second one ends the process at once.

Exit status: 0 drained; 1 could not start, the device failed, no more connections could be made, or --drain_timeout
passed with calls unfinished; 128 + signal for a second signal.)";

// --help shows the flags of the server, not those of the libraries in it.
bool IsOurFlagFile(absl::string_view file) { return absl::StrContains(file, "server/config/"); }

void SetUpFlags() {
  absl::SetProgramUsageMessage(kUsage);
  absl::FlagsUsageConfig config;
  config.contains_help_flags = IsOurFlagFile;
  config.contains_helpshort_flags = IsOurFlagFile;
  config.version_string = [] { return std::string("flashcore_server " FLASHCORE_VERSION "\n"); };
  absl::SetFlagsUsageConfig(config);
}

using Engines = std::vector<std::unique_ptr<Engine>>;

// "NVIDIA L4", "2 x NVIDIA L4", or what they are if they differ.
std::string DeviceNames(const Engines& engines) {
  std::vector<std::string> names;
  for (const auto& engine : engines) names.push_back(engine->backend().info().device);
  const bool same = std::equal(names.begin() + 1, names.end(), names.begin());
  if (!same) return absl::StrJoin(names, ", ");
  return names.size() == 1 ? names.front() : absl::StrCat(names.size(), " x ", names.front());
}

ServerFacts CollectFacts(const ServerOptions& options, const Engines& engines) {
  const BackendInfo& backend = engines.front()->backend().info();
  return {.version = FLASHCORE_VERSION,
          .backend = backend.backend,
          .device = DeviceNames(engines),
          .kernel = backend.kernel,
          .max_queue_length = options.scheduler.max_queue_length,
          .max_bytes_in_flight = options.engine.arena_bytes,
          .max_message_bytes = options.max_message_bytes,
          .max_batch_requests = options.scheduler.max_batch_requests,
          .max_batch_bytes = options.scheduler.max_batch_bytes,
          .max_batch_flops = BatchFlops(options.scheduler.max_batch_flops, backend),
          .lanes = LaneCount(options.scheduler.lanes, backend) * static_cast<int64_t>(engines.size()),
          .devices = options.engine.devices};
}

// The server's parts, each after what it needs: destruction goes the other way.
struct Parts {
  std::shared_ptr<StopLatch> stop = std::make_shared<StopLatch>();
  std::shared_ptr<SecurityMetrics> security_metrics = std::make_shared<SecurityMetrics>();
  std::unique_ptr<TlsStore> tls;       // None for plaintext.
  std::unique_ptr<TokenStore> tokens;  // None if everybody may call.
  Engines engines;
  ServerFacts facts;
  std::unique_ptr<Metrics> metrics;
  std::unique_ptr<Scheduler> scheduler;
  std::shared_ptr<ServingState> state = std::make_shared<ServingState>();
  std::unique_ptr<HardwareTelemetry> hardware;    // None without the next.
  std::unique_ptr<MetricsServer> metrics_server;  // None if not asked for.
  std::unique_ptr<RpcServer> rpc;
};

RpcOptions ToRpcOptions(const ServerOptions& options, const Parts& parts) {
  const bool device_memory = parts.engines.front()->backend().info().device_memory;
  return {.listen_addresses = options.listen_addresses,
          .unix_socket = options.unix_socket,
          .max_message_bytes = options.max_message_bytes,
          .max_stream_in_flight = options.max_stream_in_flight,
          .max_concurrent_streams = options.max_concurrent_streams,
          .grpc_memory_bytes = options.grpc_memory_bytes,
          .reflection = options.reflection,
          .tls = parts.tls.get(),
          .tokens = parts.tokens.get(),
          .health_listen = options.security.health_listen,
          .max_connection_age = options.security.max_connection_age,
          .max_connection_age_grace = options.security.max_connection_age_grace,
          .copy_helpers = device_memory ? CopyHelperCount(cpu::AllowedCpus()) : 0,
          .copy_poll_ns = options.scheduler.lane_poll_ns,
          .slow_log_ms = options.slow_log_ms};
}

// Before all else: a mistake in a file should not have to wait for a GPU.
absl::Status StartSecurity(const ServerOptions& options, Parts& parts) {
  const SecurityOptions& security = options.security;
  if (!security.tls.cert.empty()) {
    absl::StatusOr<std::unique_ptr<TlsStore>> tls =
        TlsStore::Open(security.tls, security.reload_period, *parts.security_metrics);
    if (!tls.ok()) return tls.status();
    parts.tls = *std::move(tls);
  }
  if (security.auth_tokens_file.empty()) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<TokenStore>> tokens =
      TokenStore::Open(security.auth_tokens_file, security.reload_period, *parts.security_metrics);
  if (!tokens.ok()) return tokens.status();
  parts.tokens = *std::move(tokens);
  return absl::OkStatus();
}

absl::Status StartEngines(const ServerOptions& options, Parts& parts) {
  absl::StatusOr<Engines> engines = CreateEngines(options.engine);
  if (!engines.ok()) return engines.status();
  parts.engines = *std::move(engines);
  if (options.engine.backend.backend == kPassthroughBackend) {
    LogWarning("nothing is computed", {{"backend", kPassthroughBackend}});
    return absl::OkStatus();
  }
  for (const auto& engine : parts.engines) {
    if (absl::Status status = SelfTest(*engine); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status StartScheduler(const ServerOptions& options, Parts& parts) {
  parts.facts = CollectFacts(options, parts.engines);
  parts.metrics = std::make_unique<Metrics>(parts.facts);
  std::vector<Engine*> engines;
  for (const auto& engine : parts.engines) engines.push_back(engine.get());
  absl::StatusOr<std::unique_ptr<Scheduler>> scheduler = Scheduler::Create(
      engines, options.scheduler, *parts.metrics, SteadyClock(),
      [stop = parts.stop](const absl::Status& fault) { stop->Stop({.failed = true, .text = fault.ToString()}); });
  if (!scheduler.ok()) return scheduler.status();
  parts.scheduler = *std::move(scheduler);
  return absl::OkStatus();
}

HardwareOptions ToHardwareOptions(const ServerOptions& options, const Parts& parts) {
  const BackendInfo& backend = parts.engines.front()->backend().info();
  return {.gpu_counters = options.gpu_counters,
          .period = absl::ToChronoNanoseconds(options.sample_period),
          .gpus = backend.device_memory ? parts.facts.devices : std::vector<int>(),
          .tensor_cores = backend.kernel != kKernelWithoutTensorCores,
          .flops = [&metrics = *parts.metrics](size_t device) { return metrics.DeviceFlops(device); }};
}

absl::Status StartMetricsServer(const ServerOptions& options, Parts& parts) {
  const std::string& address = options.metrics_address;
  if (address.empty()) return absl::OkStatus();
  parts.hardware = std::make_unique<HardwareTelemetry>(ToHardwareOptions(options, parts));
  absl::StatusOr<std::unique_ptr<MetricsServer>> server = MetricsServer::Start(
      address,
      {parts.metrics->collectable(), parts.security_metrics, parts.hardware->collectable(), CreateProcessMetrics()},
      parts.state);
  if (!server.ok()) return server.status();
  parts.metrics_server = *std::move(server);
  LogInfo("metrics",
          {{"address", absl::StrCat(address.substr(0, address.rfind(':')), ":", parts.metrics_server->port())}});
  return absl::OkStatus();
}

absl::Status StartRpc(const ServerOptions& options, Parts& parts) {
  TakeOverGrpcLog([stop = parts.stop](const std::string& text) { stop->Stop({.failed = true, .text = text}); });
  absl::StatusOr<std::unique_ptr<RpcServer>> rpc =
      RpcServer::Start(ToRpcOptions(options, parts), parts.facts, parts.engines.front()->backend().info().dtypes,
                       *parts.scheduler, *parts.metrics, SteadyClock());
  if (!rpc.ok()) return rpc.status();
  parts.rpc = *std::move(rpc);
  for (const std::string& address : parts.rpc->addresses()) {
    const bool tls = parts.tls != nullptr && !absl::StartsWith(address, "unix:");
    LogInfo("listening", {{"address", address}, {"tls", tls}, {"tokens", parts.tokens != nullptr}});
  }
  if (!parts.rpc->health_address().empty()) LogInfo("health", {{"address", parts.rpc->health_address()}});
  return absl::OkStatus();
}

absl::Status Start(const ServerOptions& options, Parts& parts) {
  for (auto* step : {StartSecurity, StartEngines, StartScheduler, StartMetricsServer, StartRpc}) {
    absl::Status status = step(options, parts);
    if (!status.ok()) return status;
  }
  parts.state->Set(ServingPhase::kServing);
  const ServerFacts& facts = parts.facts;
  LogInfo("serving", {{"version", facts.version},
                      {"backend", facts.backend},
                      {"device", facts.device},
                      {"kernel", facts.kernel},
                      {"lanes", facts.lanes},
                      {"max_queue_length", facts.max_queue_length},
                      {"staging_bytes", facts.max_bytes_in_flight},
                      {"max_message_bytes", facts.max_message_bytes},
                      {"max_batch_requests", facts.max_batch_requests},
                      {"max_batch_bytes", facts.max_batch_bytes},
                      {"max_batch_flops", facts.max_batch_flops},
                      {"max_queue_delay_ns", options.scheduler.max_queue_delay_ns},
                      {"max_backlog_ns", options.scheduler.max_backlog_ns},
                      {"lane_poll_ns", options.scheduler.lane_poll_ns},
                      {"max_stream_in_flight", options.max_stream_in_flight},
                      {"max_concurrent_streams", options.max_concurrent_streams},
                      {"grpc_memory_bytes", options.grpc_memory_bytes}});
  return absl::OkStatus();
}

// From the reason to stop to the exit status.
int Drain(const ServerOptions& options, const StopReason& reason, Parts& parts) {
  parts.state->Set(reason.failed ? ServingPhase::kFailed : ServingPhase::kDraining);
  if (reason.failed) {
    LogError("failed", {{"status", reason.text}});
  } else {
    LogInfo("draining", {{"reason", reason.text}, {"timeout", absl::FormatDuration(options.drain_timeout)}});
  }
  parts.rpc->StartDrain();
  if (!parts.rpc->WaitForCalls(options.drain_timeout)) {
    LogError("drain timed out", {{"timeout", absl::FormatDuration(options.drain_timeout)}});
    // What is on the device cannot be called back; ending here is the promise that --drain_timeout makes.
    std::_Exit(EXIT_FAILURE);
  }
  return reason.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int Run() {
  const absl::StatusOr<ServerOptions> options = ServerOptionsFromFlags();
  if (!options.ok()) {
    LogError("bad flags", {{"status", options.status()}});
    return EXIT_FAILURE;
  }
  SetUpLogging(options->log_level, options->log_format);
  // Never given back. When its last user has gone, gRPC waits up to ten seconds for sockets that it still counts, and
  // those end with the process.
  grpc_init();
  Parts parts;
  WatchStopSignals(parts.stop);
  if (absl::Status status = Start(*options, parts); !status.ok()) {
    LogError("cannot start", {{"status", status}});
    return EXIT_FAILURE;
  }
  const int exit_status = Drain(*options, parts.stop->Wait(), parts);
  parts.rpc.reset();
  LogInfo("stopped", {{"exit_status", exit_status},
                      {"answered", parts.metrics->RecordedCalls(absl::StatusCode::kOk)},
                      {"cancelled", parts.metrics->RecordedCalls(absl::StatusCode::kCancelled)}});
  return exit_status;
}

}  // namespace
}  // namespace flashcore

int main(int argc, char** argv) {
  flashcore::BlockStopSignals();
  flashcore::RaiseOpenFilesLimit();
  flashcore::SetUpFlags();
  const std::vector<char*> arguments = absl::ParseCommandLine(argc, argv);
  if (arguments.size() > 1) {
    flashcore::LogError("bad flags", {{"status", absl::StrCat("'", arguments[1], "' is no flag; --help lists them")}});
    return EXIT_FAILURE;
  }
  return flashcore::Run();
}
