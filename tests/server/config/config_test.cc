#include "server/config/config.h"

#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/cpu/cpu_info.h"
#include "tests/server/config/scoped_flags.h"

namespace flashcore {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::ScopedFlags;
using ::testing::StartsWith;

TEST(ConfigTest, DefaultsAreValidAndTheStructs) {
  const absl::StatusOr<ServerOptions> options = ServerOptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  const ServerOptions defaults;
  EXPECT_TRUE(ValidateServerOptions(defaults).ok());
  EXPECT_THAT(options->listen_addresses, ElementsAre("127.0.0.1:50051"));
  EXPECT_EQ(options->engine.arena_bytes, defaults.engine.arena_bytes);
  EXPECT_EQ(options->scheduler.max_queue_length, SchedulerOptions().max_queue_length);
  EXPECT_EQ(options->log_level, defaults.log_level);
  EXPECT_EQ(options->log_format, defaults.log_format);
}

TEST(ConfigTest, EveryFlagArrives) {
  ScopedFlags flags;
  const std::pair<const char*, const char*> values[] = {{"listen", "0.0.0.0:0,[::1]:7"},
                                                        {"unix_socket", "/run/x.sock"},
                                                        {"metrics_address", "0.0.0.0:1"},
                                                        {"sample_period", "250ms"},
                                                        {"gpu_counters", "nvml"},
                                                        {"backend", "reference"},
                                                        {"allow_passthrough", "true"},
                                                        {"kernel", "scalar"},
                                                        {"cpu_threads", "2"},
                                                        {"devices", "3,0"},
                                                        {"lanes", "4"},
                                                        {"max_queue_length", "5"},
                                                        {"staging_bytes", "10000000"},
                                                        {"max_message_bytes", "2000000"},
                                                        {"max_batch_requests", "6"},
                                                        {"max_batch_bytes", "6000000"},
                                                        {"max_batch_gflop", "11"},
                                                        {"max_queue_delay", "2ms"},
                                                        {"max_backlog", "30ms"},
                                                        {"lane_poll", "3ms"},
                                                        {"max_stream_in_flight", "7"},
                                                        {"max_concurrent_streams", "8"},
                                                        {"grpc_memory_bytes", "9000000"},
                                                        {"drain_timeout", "1m30s"},
                                                        {"reflection", "false"},
                                                        {"slow_log_ms", "250"},
                                                        {"insecure", "true"},
                                                        {"log_level", "error"},
                                                        {"log_format", "json"}};
  for (const auto& [name, value] : values) flags.Set(name, value);
  const absl::StatusOr<ServerOptions> options = ServerOptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_THAT(options->listen_addresses, ElementsAre("0.0.0.0:0", "[::1]:7"));
  EXPECT_EQ(options->unix_socket, "/run/x.sock");
  EXPECT_EQ(options->metrics_address, "0.0.0.0:1");
  EXPECT_EQ(options->sample_period, absl::Milliseconds(250));
  EXPECT_EQ(options->gpu_counters, "nvml");
  EXPECT_EQ(options->engine.backend.backend, "reference");
  EXPECT_TRUE(options->allow_passthrough);
  EXPECT_EQ(options->engine.backend.kernel, "scalar");
  EXPECT_EQ(options->engine.backend.num_threads, 2);
  EXPECT_THAT(options->engine.devices, ElementsAre(3, 0));
  EXPECT_EQ(options->scheduler.lanes, 4);
  EXPECT_EQ(options->scheduler.max_queue_length, 5);
  EXPECT_EQ(options->engine.arena_bytes, 10'000'000);
  EXPECT_EQ(options->max_message_bytes, 2'000'000);
  EXPECT_EQ(options->scheduler.max_batch_requests, 6);
  EXPECT_EQ(options->scheduler.max_batch_bytes, 6'000'000);
  EXPECT_EQ(options->engine.max_batch_bytes, 6'000'000);
  EXPECT_EQ(options->scheduler.max_batch_flops, 11e9);
  EXPECT_EQ(options->scheduler.max_queue_delay_ns, 2'000'000);
  EXPECT_EQ(options->scheduler.max_backlog_ns, 30'000'000);
  EXPECT_EQ(options->scheduler.lane_poll_ns, LanePollNs(absl::Milliseconds(3), cpu::AllowedCpus()));
  EXPECT_EQ(options->engine.lane_poll_ns, options->scheduler.lane_poll_ns);
  EXPECT_EQ(options->max_stream_in_flight, 7);
  EXPECT_EQ(options->max_concurrent_streams, 8);
  EXPECT_EQ(options->grpc_memory_bytes, 9'000'000);
  EXPECT_EQ(options->drain_timeout, absl::Seconds(90));
  EXPECT_FALSE(options->reflection);
  EXPECT_EQ(options->slow_log_ms, 250);
  EXPECT_EQ(options->log_level, LogLevel::kError);
  EXPECT_EQ(options->log_format, LogFormat::kJson);
}

// Each row: one broken flag, and the rest at its default.
struct BadFlagCase {
  const char* name;
  const char* value;
  const char* expected;  // In the message, after the flag's name.
};

TEST(ConfigTest, ABadFlagIsNamedWithItsBounds) {
  const std::string long_path(108, 'x');
  const BadFlagCase cases[] = {{"listen", "", "nobody could call"},
                               {"listen", "localhost", "host:port"},
                               {"listen", ":50051", "host:port"},
                               {"listen", "localhost:", "host:port"},
                               {"listen", "localhost:65536", "65535"},
                               {"listen", "localhost:-1", "65535"},
                               {"listen", "::1:50051", "brackets"},
                               {"listen", "127.0.0.1:1,", "host:port"},
                               {"unix_socket", long_path.c_str(), "107"},
                               {"metrics_address", "9464", "host:port"},
                               {"sample_period", "99ms", "from 100ms to 1m"},
                               {"sample_period", "61s", "from 100ms to 1m"},
                               {"gpu_counters", "dcgm", "auto, cupti, nvml, estimate, off"},
                               {"backend", "tpu", "auto, cpu, cuda, reference"},
                               {"backend", "passthrough", "--allow_passthrough"},
                               {"cpu_threads", "-1", "from 0 to 1024"},
                               {"cpu_threads", "1025", "from 0 to 1024"},
                               {"devices", "64", "from 0 to 63"},
                               {"devices", "0,-1", "from 0 to 63"},
                               {"devices", "", "empty"},
                               {"devices", "0,x", "'x' is not a number"},
                               {"devices", "1,0,1", "1 is there twice"},
                               {"slow_log_ms", "-1", "from 0 to 3600000"},
                               {"slow_log_ms", "3600001", "from 0 to 3600000"},
                               {"max_batch_gflop", "-1", "from 0 to 1000000000"},
                               {"max_queue_delay", "1001ms", "from 0s to 1s"},
                               {"max_backlog", "61s", "from 0s to 1m"},
                               {"lane_poll", "101ms", "from 0s to 100ms"},
                               {"lanes", "17", "from 0 to 16"},
                               {"max_queue_length", "0", "from 1 to 1048576"},
                               {"staging_bytes", "1", "from 1048576"},
                               {"max_message_bytes", "0", "from 1024"},
                               {"max_message_bytes", "2147483648", "to 2147483647"},
                               {"max_batch_requests", "129", "from 1 to 128"},
                               {"max_batch_bytes", "1073741825", "to 1073741824"},
                               {"max_batch_bytes", "671088639", "671088640"},
                               {"max_stream_in_flight", "0", "from 1 to 4096"},
                               {"max_concurrent_streams", "65537", "from 1 to 65536"},
                               {"grpc_memory_bytes", "268435455", "from 268435456"},
                               {"drain_timeout", "-1s", "from 0s to 1h"},
                               {"drain_timeout", "inf", "from 0s to 1h"},
                               {"log_level", "loud", "debug, info, warning, error"},
                               {"log_format", "xml", "text, json"}};
  for (const BadFlagCase& bad : cases) {
    ScopedFlags flags;
    flags.Set(bad.name, bad.value);
    const absl::Status status = ServerOptionsFromFlags().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad.name << "=" << bad.value;
    EXPECT_THAT(std::string(status.message()), StartsWith(std::string("--") + bad.name + ": "));
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.expected));
  }
}

TEST(ConfigTest, LanesPollOnlyWhereThereAreCpusToSpare) {
  EXPECT_EQ(LanePollNs(absl::Milliseconds(3), 7), 0);
  EXPECT_EQ(LanePollNs(absl::Milliseconds(3), 8), 3'000'000);
  EXPECT_EQ(LanePollNs(absl::ZeroDuration(), 8), 0);
}

TEST(ConfigTest, EmptyMeansOff) {
  ScopedFlags flags;
  flags.Set("listen", "");
  flags.Set("unix_socket", "/run/x.sock");
  flags.Set("metrics_address", "");
  const absl::StatusOr<ServerOptions> options = ServerOptionsFromFlags();
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_TRUE(options->listen_addresses.empty());
  EXPECT_TRUE(options->metrics_address.empty());
}

TEST(ConfigTest, TheBoundsThemselvesAreValid) {
  ServerOptions options;
  options.max_message_bytes = 1024;
  options.engine.arena_bytes = int64_t{1} << 20;
  options.scheduler.max_batch_bytes = options.engine.max_batch_bytes = 2560;
  options.grpc_memory_bytes = 1024;
  options.drain_timeout = absl::Hours(1);
  EXPECT_TRUE(ValidateServerOptions(options).ok()) << ValidateServerOptions(options);
  options.scheduler.max_batch_bytes = options.engine.max_batch_bytes = 2559;
  EXPECT_FALSE(ValidateServerOptions(options).ok());
}

}  // namespace
}  // namespace flashcore
