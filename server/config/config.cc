#include "server/config/config.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "kernels/cpu/cpu_info.h"
#include "server/config/flag_checks.h"
#include "server/engine/passthrough.h"

using flashcore::ServerOptions;

ABSL_FLAG(std::vector<std::string>, listen, ServerOptions().listen_addresses,
          "TCP addresses to serve gRPC on, comma-separated host:port, IPv6 hosts in brackets. Port 0: the kernel "
          "chooses, the log says which. Addresses that other machines can reach need --tls_cert or --insecure. Empty: "
          "none, then --unix_socket is needed");
ABSL_FLAG(std::string, unix_socket, ServerOptions().unix_socket,
          "Path of a Unix socket to serve gRPC on as well, the fastest way for clients of this machine; at most 107 "
          "bytes. Empty: none");
ABSL_FLAG(std::string, metrics_address, ServerOptions().metrics_address,
          "host:port of the Prometheus endpoint, http://host:port/metrics; the host an IPv4 address or localhost, port "
          "0 as in --listen. Always plaintext and open to whoever reaches it, as Prometheus expects: it tells how much "
          "there is to do and on what hardware, and nothing of tensors, tokens or keys. Empty: none");

ABSL_FLAG(absl::Duration, sample_period, ServerOptions().sample_period,
          "How often the utilisation of the GPU, or of the CPUs, is sampled for the metrics, 100ms to 1m");
ABSL_FLAG(
    std::string, gpu_counters, ServerOptions().gpu_counters,
    "Where the utilisation of tensor cores, SMs and device memory comes from: cupti (hardware counters, which only "
    "one program can hold: not while DCGM profiles or Nsight runs), nvml (Hopper and newer), estimate (work done "
    "by the peak), auto: the first of them that works, or off");

ABSL_FLAG(
    std::string, backend, ServerOptions().engine.backend.backend,
    "Who computes: cpu, cuda, reference (double precision and slow, for checking), or auto: cuda where this build "
    "has it and a GPU is there, else cpu");
ABSL_FLAG(std::string, kernel, ServerOptions().engine.backend.kernel,
          "Which of the backend's kernels, by name; auto: the backend chooses. A wrong name lists the right ones");
ABSL_FLAG(
    bool, allow_passthrough, ServerOptions().allow_passthrough,
    "Allow --backend=passthrough, which computes nothing and answers with whatever bytes are there, other clients' "
    "included: only for measuring what the server itself costs");
ABSL_FLAG(int, cpu_threads, ServerOptions().engine.backend.num_threads,
          "Threads of the cpu backend, 0 to 1024. 0: one for each CPU that this process may use");
ABSL_FLAG(std::vector<std::string>, devices, {"0"},
          "Which GPUs, each 0 to 63, as the CUDA runtime counts them, comma-separated, e.g. 0,1. One queue serves them "
          "all: an idle lane takes what is waiting, whichever GPU it is of. For cpu and reference, how many engines, "
          "which share the CPUs");
ABSL_FLAG(int, lanes, ServerOptions().scheduler.lanes,
          "Batches in progress at once on each device, 0 to 16; each lane takes --max_batch_bytes of GPU memory. 0: 1 "
          "for cpu, 3 for "
          "cuda, so that upload, compute and download overlap");

ABSL_FLAG(int64_t, max_queue_length, ServerOptions().scheduler.max_queue_length,
          "Requests that may wait for a lane, 1 to 1048576; above it they are turned away with RESOURCE_EXHAUSTED. Low "
          "priorities may take half of the places, one connection 7 times as many as are free");
ABSL_FLAG(
    int64_t, staging_bytes, ServerOptions().engine.arena_bytes,
    "Memory for the tensors of all requests in flight, in and out, 1 MiB to 4 TiB; page-locked for cuda, so it is "
    "gone from the machine from the start. Above it requests are turned away with RESOURCE_EXHAUSTED. The default "
    "holds 500 requests of 2 MiB, and fits a machine of 4 GiB");
ABSL_FLAG(int64_t, max_message_bytes, ServerOptions().max_message_bytes,
          "Largest request, 1 KiB to 2 GiB - 1; larger ones end with RESOURCE_EXHAUSTED");
ABSL_FLAG(int64_t, max_batch_requests, ServerOptions().scheduler.max_batch_requests,
          "Most requests in one launch, 1 to 128");
ABSL_FLAG(
    int64_t, max_batch_bytes, ServerOptions().scheduler.max_batch_bytes,
    "Most tensor bytes in one launch, in and out, up to --staging_bytes; at least 2.5 times --max_message_bytes, so "
    "that every request that gets in can be computed");
ABSL_FLAG(
    int64_t, max_batch_gflop, 0,
    "Most work in one launch, in 10^9 floating-point operations, 0 to 10^9; a larger request is computed alone. It "
    "bounds how long a batch makes those behind it wait. 0: 1000 for cuda, 20 for cpu");
ABSL_FLAG(
    absl::Duration, max_queue_delay, absl::Nanoseconds(ServerOptions().scheduler.max_queue_delay_ns),
    "How long a free lane waits for more requests to share a launch, 0s to 1s. 0s: not at all; batches still form "
    "while all lanes are busy");
ABSL_FLAG(
    absl::Duration, max_backlog, absl::Nanoseconds(ServerOptions().scheduler.max_backlog_ns),
    "Longest that all admitted requests together may take to compute, at the measured rate, 0s to 1m; above it "
    "they are turned away with RESOURCE_EXHAUSTED, so that those that get in are answered within about this time. "
    "Low priorities may fill half of it. 0s: no limit until 128 requests that take 100ms, or 80 that take 1s, are "
    "under way; then the server is overloaded, and until it turns nobody away for a second it is twice the time of a "
    "request that has the server to itself");
ABSL_FLAG(absl::Duration, lane_poll, absl::Nanoseconds(ServerOptions().scheduler.lane_poll_ns),
          "How long a lane of a GPU looks out for the next request, and for the end of its batch, before it sleeps, 0s "
          "to 100ms: saves the two wake-ups, some 50us each, for up to two CPUs per GPU that do nothing else while "
          "requests come in; and as long up to three threads look out for tensors to copy, while large requests come "
          "one by one. Only with 8 CPUs or more; use 0s, never, where the CPU time of the server has a quota");
ABSL_FLAG(int64_t, max_stream_in_flight, ServerOptions().max_stream_in_flight,
          "Unanswered requests of one AttendStream, 1 to 4096; at that many the server stops reading from the stream");
ABSL_FLAG(int64_t, max_concurrent_streams, ServerOptions().max_concurrent_streams,
          "Concurrent calls on one connection, 1 to 65536; further ones wait in the client");
ABSL_FLAG(int64_t, grpc_memory_bytes, ServerOptions().grpc_memory_bytes,
          "Memory that gRPC may use, mostly for messages on their way in and out, --max_message_bytes to 4 TiB; short "
          "of it, gRPC slows its connections down");

ABSL_FLAG(absl::Duration, drain_timeout, ServerOptions().drain_timeout,
          "After SIGTERM, how long accepted calls may take to finish, 0s to 1h, e.g. 30s; after that the process ends "
          "with status 1");
ABSL_FLAG(bool, reflection, ServerOptions().reflection,
          "Serve gRPC reflection, which tools like grpcurl need: the protocol, which is public. With "
          "--auth_tokens_file it needs a token as all else");
ABSL_FLAG(int64_t, slow_log_ms, ServerOptions().slow_log_ms,
          "Log requests that take this many milliseconds or longer, 0 to 3600000, one line each with the time of every "
          "stage and the caller's traceparent; 10 lines a second at most. 0: none");
ABSL_FLAG(std::string, log_level, "info", "Least level to log: debug, info, warning or error");
ABSL_FLAG(std::string, log_format, "text", "One line per event: text (key=value) or json");

namespace flashcore {
namespace {

constexpr int kMaxCpuThreads = 1024;
constexpr int kMaxDeviceOrdinal = 63;
constexpr double kFlopsPerGflop = 1e9;
constexpr int64_t kGreatestBatchGflop = 1'000'000'000;
constexpr int kLeastCpusToPoll = 8;
constexpr absl::Duration kGreatestBacklog = absl::Minutes(1);
constexpr int64_t kMaxQueueLength = int64_t{1} << 20;
constexpr int64_t kLeastMessageBytes = int64_t{1} << 10;
constexpr int64_t kGreatestMessageBytes = std::numeric_limits<int32_t>::max();  // gRPC's limit is an int.
constexpr int64_t kLeastStagingBytes = int64_t{1} << 20;
constexpr int64_t kGreatestMemoryBytes = int64_t{1} << 42;
constexpr int64_t kGreatestStreamInFlight = 4096;
constexpr int64_t kGreatestConcurrentStreams = 65536;
constexpr int64_t kGreatestSlowLogMs = 3'600'000;
constexpr size_t kGreatestSocketPath = 107;  // sockaddr_un::sun_path less its terminator.
constexpr absl::Duration kGreatestDrainTimeout = absl::Hours(1);
constexpr absl::Duration kLeastSamplePeriod = absl::Milliseconds(100);
constexpr absl::Duration kGreatestSamplePeriod = absl::Minutes(1);
constexpr absl::string_view kGpuCounters[] = {"auto", "cupti", "nvml", "estimate", "off"};
constexpr absl::string_view kBackends[] = {"auto", "cpu", "cuda", "reference"};

// A batch must hold any message's tensors and its answer's: batch >= message * 5 / 2.
constexpr int64_t kBatchPerMessageNumerator = 5;
constexpr int64_t kBatchPerMessageDenominator = 2;

struct Range {
  absl::string_view flag;
  int64_t value;
  int64_t least;
  int64_t greatest;
};

absl::Status CheckRange(const Range& range) {
  if (range.value >= range.least && range.value <= range.greatest) return absl::OkStatus();
  return BadFlag(range.flag, range.value, " is not from ", range.least, " to ", range.greatest);
}

absl::Status CheckRanges(const ServerOptions& options) {
  const Range ranges[] = {
      {"cpu_threads", options.engine.backend.num_threads, 0, kMaxCpuThreads},
      {"lanes", options.scheduler.lanes, 0, kMaxLanes},
      {"max_queue_length", options.scheduler.max_queue_length, 1, kMaxQueueLength},
      {"staging_bytes", options.engine.arena_bytes, kLeastStagingBytes, kGreatestMemoryBytes},
      {"max_message_bytes", options.max_message_bytes, kLeastMessageBytes, kGreatestMessageBytes},
      {"max_batch_requests", options.scheduler.max_batch_requests, 1, static_cast<int64_t>(kMaxBatchProblems)},
      {"max_batch_bytes", options.scheduler.max_batch_bytes, 1, options.engine.arena_bytes},
      {"max_stream_in_flight", options.max_stream_in_flight, 1, kGreatestStreamInFlight},
      {"max_concurrent_streams", options.max_concurrent_streams, 1, kGreatestConcurrentStreams},
      {"grpc_memory_bytes", options.grpc_memory_bytes, options.max_message_bytes, kGreatestMemoryBytes},
      {"slow_log_ms", options.slow_log_ms, 0, kGreatestSlowLogMs},
  };
  for (const Range& range : ranges) {
    absl::Status status = CheckRange(range);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status CheckBatchHoldsMessage(const ServerOptions& options) {
  const int64_t least = (options.max_message_bytes * kBatchPerMessageNumerator + kBatchPerMessageDenominator - 1) /
                        kBatchPerMessageDenominator;
  if (options.scheduler.max_batch_bytes >= least) return absl::OkStatus();
  return BadFlag("max_batch_bytes", options.scheduler.max_batch_bytes, " is less than 2.5 times --max_message_bytes, ",
                 least, ": a request that gets in might not be computable");
}

absl::Status CheckAddresses(const ServerOptions& options) {
  if (options.listen_addresses.empty() && options.unix_socket.empty()) {
    return BadFlag("listen", "is empty, and so is --unix_socket: nobody could call");
  }
  for (const std::string& address : options.listen_addresses) {
    absl::Status status = CheckAddress("listen", address);
    if (!status.ok()) return status;
  }
  if (options.unix_socket.size() > kGreatestSocketPath) {
    return BadFlag("unix_socket", "a path of ", options.unix_socket.size(), " bytes; the system takes at most ",
                   kGreatestSocketPath);
  }
  return options.metrics_address.empty() ? absl::OkStatus() : CheckAddress("metrics_address", options.metrics_address);
}

// Whether the kernel exists is for the backend to say.
absl::Status CheckBackend(const ServerOptions& server_options) {
  const BackendOptions& options = server_options.engine.backend;
  if (options.backend == kPassthroughBackend) {
    if (server_options.allow_passthrough) return absl::OkStatus();
    return BadFlag("backend", "'", options.backend, "' computes nothing; --allow_passthrough if that is what you want");
  }
  const auto* const end = std::end(kBackends);
  if (std::find(std::begin(kBackends), end, options.backend) != end) return absl::OkStatus();
  return BadFlag("backend", "'", options.backend, "' is not one of ", absl::StrJoin(kBackends, ", "));
}

absl::Status CheckTelemetry(const ServerOptions& options) {
  const auto* const end = std::end(kGpuCounters);
  if (std::find(std::begin(kGpuCounters), end, options.gpu_counters) == end) {
    return BadFlag("gpu_counters", "'", options.gpu_counters, "' is not one of ", absl::StrJoin(kGpuCounters, ", "));
  }
  return CheckDuration("sample_period", options.sample_period, kLeastSamplePeriod, kGreatestSamplePeriod);
}

// Whether there are such devices is for the backend to say.
absl::Status CheckDevices(const std::vector<int>& devices) {
  if (devices.empty()) return BadFlag("devices", "is empty");
  for (const int device : devices) {
    absl::Status status = CheckRange({"devices", device, 0, kMaxDeviceOrdinal});
    if (!status.ok()) return status;
    if (std::count(devices.begin(), devices.end(), device) > 1) return BadFlag("devices", device, " is there twice");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int>> DevicesFromFlag() {
  std::vector<int> devices;
  for (const std::string& text : absl::GetFlag(FLAGS_devices)) {
    if (!absl::SimpleAtoi(text, &devices.emplace_back())) return BadFlag("devices", "'", text, "' is not a number");
  }
  return devices;
}

absl::StatusOr<EngineOptions> EngineOptionsFromFlags() {
  absl::StatusOr<std::vector<int>> devices = DevicesFromFlag();
  if (!devices.ok()) return devices.status();
  return EngineOptions{.backend = {.backend = absl::GetFlag(FLAGS_backend),
                                   .kernel = absl::GetFlag(FLAGS_kernel),
                                   .num_threads = absl::GetFlag(FLAGS_cpu_threads)},
                       .devices = *std::move(devices),
                       .arena_bytes = absl::GetFlag(FLAGS_staging_bytes),
                       .max_batch_bytes = absl::GetFlag(FLAGS_max_batch_bytes),
                       .lane_poll_ns = LanePollNs(absl::GetFlag(FLAGS_lane_poll), cpu::AllowedCpus())};
}

// Those that are checked here are so because what they become is not what was given.
absl::StatusOr<SchedulerOptions> SchedulerOptionsFromFlags() {
  const int64_t gflop = absl::GetFlag(FLAGS_max_batch_gflop);
  const absl::Duration delay = absl::GetFlag(FLAGS_max_queue_delay);
  absl::Status status = CheckRange({"max_batch_gflop", gflop, 0, kGreatestBatchGflop});
  if (status.ok())
    status = CheckDuration("max_queue_delay", delay, absl::ZeroDuration(), absl::Nanoseconds(kMaxQueueDelayNs));
  if (status.ok())
    status = CheckDuration("max_backlog", absl::GetFlag(FLAGS_max_backlog), absl::ZeroDuration(), kGreatestBacklog);
  if (status.ok()) {
    status = CheckDuration("lane_poll", absl::GetFlag(FLAGS_lane_poll), absl::ZeroDuration(),
                           absl::Nanoseconds(kMaxLanePollNs));
  }
  if (!status.ok()) return status;
  return SchedulerOptions{.max_queue_length = absl::GetFlag(FLAGS_max_queue_length),
                          .lanes = absl::GetFlag(FLAGS_lanes),
                          .max_batch_requests = absl::GetFlag(FLAGS_max_batch_requests),
                          .max_batch_bytes = absl::GetFlag(FLAGS_max_batch_bytes),
                          .max_batch_flops = static_cast<double>(gflop) * kFlopsPerGflop,
                          .max_queue_delay_ns = absl::ToInt64Nanoseconds(delay),
                          .max_backlog_ns = absl::ToInt64Nanoseconds(absl::GetFlag(FLAGS_max_backlog)),
                          .lane_poll_ns = LanePollNs(absl::GetFlag(FLAGS_lane_poll), cpu::AllowedCpus())};
}

absl::Status ReadLogFlags(ServerOptions& options) {
  const absl::StatusOr<LogLevel> level = ParseLogLevel(absl::GetFlag(FLAGS_log_level));
  if (!level.ok()) return BadFlag("log_level", level.status().message());
  const absl::StatusOr<LogFormat> format = ParseLogFormat(absl::GetFlag(FLAGS_log_format));
  if (!format.ok()) return BadFlag("log_format", format.status().message());
  options.log_level = *level;
  options.log_format = *format;
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateServerOptions(const ServerOptions& options) {
  absl::Status status = CheckAddresses(options);
  if (status.ok()) status = CheckBackend(options);
  if (status.ok()) status = CheckRanges(options);
  if (status.ok()) status = CheckBatchHoldsMessage(options);
  if (status.ok()) status = CheckDevices(options.engine.devices);
  if (status.ok())
    status = CheckDuration("drain_timeout", options.drain_timeout, absl::ZeroDuration(), kGreatestDrainTimeout);
  if (status.ok()) status = CheckTelemetry(options);
  if (status.ok()) status = ValidateSecurityOptions(options.security, options.listen_addresses);
  return status;
}

int64_t LanePollNs(absl::Duration requested, int cpus) {
  return cpus < kLeastCpusToPoll ? 0 : absl::ToInt64Nanoseconds(requested);
}

absl::StatusOr<ServerOptions> ServerOptionsFromFlags() {
  ServerOptions options;
  options.listen_addresses = absl::GetFlag(FLAGS_listen);
  options.unix_socket = absl::GetFlag(FLAGS_unix_socket);
  options.metrics_address = absl::GetFlag(FLAGS_metrics_address);
  options.sample_period = absl::GetFlag(FLAGS_sample_period);
  options.gpu_counters = absl::GetFlag(FLAGS_gpu_counters);
  options.allow_passthrough = absl::GetFlag(FLAGS_allow_passthrough);
  absl::StatusOr<EngineOptions> engine = EngineOptionsFromFlags();
  if (!engine.ok()) return engine.status();
  options.engine = *std::move(engine);
  const absl::StatusOr<SchedulerOptions> scheduler = SchedulerOptionsFromFlags();
  if (!scheduler.ok()) return scheduler.status();
  options.scheduler = *scheduler;
  options.max_message_bytes = absl::GetFlag(FLAGS_max_message_bytes);
  options.max_stream_in_flight = absl::GetFlag(FLAGS_max_stream_in_flight);
  options.max_concurrent_streams = absl::GetFlag(FLAGS_max_concurrent_streams);
  options.grpc_memory_bytes = absl::GetFlag(FLAGS_grpc_memory_bytes);
  options.drain_timeout = absl::GetFlag(FLAGS_drain_timeout);
  options.reflection = absl::GetFlag(FLAGS_reflection);
  options.slow_log_ms = absl::GetFlag(FLAGS_slow_log_ms);
  options.security = SecurityOptionsFromFlags();
  absl::Status status = ReadLogFlags(options);
  if (status.ok()) status = ValidateServerOptions(options);
  if (!status.ok()) return status;
  return options;
}

}  // namespace flashcore
