#include "server/telemetry/metrics.h"

#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/telemetry/exposition.h"

namespace flashcore {
namespace {

ServerFacts Facts() {
  return {.version = "1.2.3",
          .backend = "cpu",
          .device = "Some \"CPU\"",
          .kernel = "cpu/AVX3",
          .max_queue_length = 10,
          .max_bytes_in_flight = 20,
          .max_message_bytes = 30,
          .max_batch_requests = 40,
          .max_batch_bytes = 50,
          .max_batch_flops = 2e12,
          .lanes = 60,
          .devices = {0, 3}};
}

TEST(MetricsTest, EverySeriesExistsAtTheStart) {
  const Metrics metrics(Facts());
  const std::map<std::string, double> samples = ParseExposition(metrics.ExpositionText());
  std::vector<std::string> zeros = {"flashcore_received_bytes_total",
                                    "flashcore_sent_bytes_total",
                                    "flashcore_batches_total",
                                    "flashcore_flops_total",
                                    "flashcore_batch_requests_count",
                                    "flashcore_batch_bytes_count",
                                    "flashcore_requests_in_flight",
                                    "flashcore_queue_length",
                                    "flashcore_lanes_busy",
                                    "flashcore_in_flight_bytes",
                                    "flashcore_batch_flops_count",
                                    "flashcore_device_batches_total{device=\"0\"}",
                                    "flashcore_device_batches_total{device=\"3\"}",
                                    "flashcore_device_flops_total{device=\"3\"}"};
  for (const char* priority : {"low", "normal", "high"}) {
    zeros.push_back(absl::StrCat("flashcore_priority_queue_length{priority=\"", priority, "\"}"));
  }
  for (const char* method : {"Attend", "AttendStream", "GetServerInfo"}) {
    for (const char* code :
         {"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
          "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
          "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"}) {
      zeros.push_back(absl::StrCat("flashcore_requests_total{code=\"", code, "\",method=\"", method, "\"}"));
    }
    zeros.push_back(absl::StrCat("flashcore_request_duration_seconds_count{method=\"", method, "\"}"));
  }
  for (const char* stage : {"receive", "admit", "stage", "queue", "upload", "compute", "download", "send"}) {
    zeros.push_back(absl::StrCat("flashcore_stage_duration_seconds_count{stage=\"", stage, "\"}"));
  }
  for (const char* reason : {"invalid", "unsupported", "too_large", "queue_full", "memory_full", "connection_share",
                             "draining", "deadline", "device_fault"}) {
    zeros.push_back(absl::StrCat("flashcore_rejections_total{reason=\"", reason, "\"}"));
  }
  for (const std::string& name : zeros) {
    const auto found = samples.find(name);
    ASSERT_NE(found, samples.end()) << name;
    EXPECT_EQ(found->second, 0) << name;
  }
}

TEST(MetricsTest, ExportsTheFacts) {
  const std::string text = Metrics(Facts()).ExpositionText();
  EXPECT_EQ(SampleValue(text,
                        "flashcore_build_info{backend=\"cpu\",device=\"Some \\\"CPU\\\"\",kernel=\"cpu/AVX3\","
                        "version=\"1.2.3\"}"),
            1);
  EXPECT_EQ(SampleValue(text, "flashcore_max_queue_length"), 10);
  EXPECT_EQ(SampleValue(text, "flashcore_max_in_flight_bytes"), 20);
  EXPECT_EQ(SampleValue(text, "flashcore_max_message_bytes"), 30);
  EXPECT_EQ(SampleValue(text, "flashcore_max_batch_requests"), 40);
  EXPECT_EQ(SampleValue(text, "flashcore_max_batch_bytes"), 50);
  EXPECT_EQ(SampleValue(text, "flashcore_max_batch_flops"), 2e12);
  EXPECT_EQ(SampleValue(text, "flashcore_lanes"), 60);
}

TEST(MetricsTest, EveryFamilyHasHelpAndOurPrefix) {
  const std::string text = Metrics(Facts()).ExpositionText();
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    if (absl::StartsWith(line, "# HELP ")) {
      EXPECT_TRUE(absl::StartsWith(line, "# HELP flashcore_")) << line;
      const std::vector<std::string> words = absl::StrSplit(line, ' ');
      EXPECT_GT(words.size(), 4u) << line;
    }
  }
}

TEST(MetricsTest, RecordsACallOnceInEachOfItsSeries) {
  Metrics metrics(Facts());
  CallRecord record;
  record.method = Method::kAttendStream;
  record.code = absl::StatusCode::kResourceExhausted;
  record.stages[Stage::kReceive] = 2'000;
  record.stages[Stage::kSend] = 3'000'000;
  record.total_ns = 4'000'000;
  record.bytes_in = 1'500;
  record.bytes_out = 500;
  metrics.RecordCall(record);

  const std::string text = metrics.ExpositionText();
  EXPECT_EQ(SampleValue(text, "flashcore_requests_total{code=\"RESOURCE_EXHAUSTED\",method=\"AttendStream\"}"), 1);
  EXPECT_EQ(SampleValue(text, "flashcore_requests_total{code=\"OK\",method=\"AttendStream\"}"), 0);
  EXPECT_DOUBLE_EQ(SampleValue(text, "flashcore_request_duration_seconds_sum{method=\"AttendStream\"}"), 4e-3);
  EXPECT_EQ(SampleValue(text, "flashcore_stage_duration_seconds_count{stage=\"receive\"}"), 1);
  EXPECT_DOUBLE_EQ(SampleValue(text, "flashcore_stage_duration_seconds_sum{stage=\"send\"}"), 3e-3);
  EXPECT_EQ(SampleValue(text, "flashcore_stage_duration_seconds_count{stage=\"compute\"}"), 0) << "0 ns: not reached";
  EXPECT_EQ(SampleValue(text, "flashcore_received_bytes_total"), 1'500);
  EXPECT_EQ(SampleValue(text, "flashcore_sent_bytes_total"), 500);
}

TEST(MetricsTest, SumsCallsOverTheMethods) {
  Metrics metrics(Facts());
  CallRecord record;
  for (const Method method : {Method::kAttend, Method::kAttend, Method::kAttendStream}) {
    record.method = method;
    metrics.RecordCall(record);
  }
  record.code = absl::StatusCode::kCancelled;
  metrics.RecordCall(record);
  EXPECT_EQ(metrics.RecordedCalls(absl::StatusCode::kOk), 3);
  EXPECT_EQ(metrics.RecordedCalls(absl::StatusCode::kCancelled), 1);
  EXPECT_EQ(metrics.RecordedCalls(absl::StatusCode::kInternal), 0);
}

TEST(MetricsTest, AnUnheardOfCodeCountsAsUnknown) {
  Metrics metrics(Facts());
  CallRecord record;
  record.code = static_cast<absl::StatusCode>(99);
  metrics.RecordCall(record);
  record.code = static_cast<absl::StatusCode>(-1);
  metrics.RecordCall(record);
  EXPECT_EQ(SampleValue(metrics.ExpositionText(), "flashcore_requests_total{code=\"UNKNOWN\",method=\"Attend\"}"), 2);
}

TEST(MetricsTest, BucketsAreDenseAndReadable) {
  Metrics metrics(Facts());
  CallRecord record;
  record.stages[Stage::kCompute] = 10'000;
  record.total_ns = 60'000;
  metrics.RecordCall(record);
  const std::string text = metrics.ExpositionText();
  const std::string stage = R"(flashcore_stage_duration_seconds_bucket{stage="compute",le=")";
  EXPECT_EQ(SampleValue(text, stage + "7.5e-06\"}"), 0);
  EXPECT_EQ(SampleValue(text, stage + "1e-05\"}"), 1) << "le: the bound belongs to the bucket";
  EXPECT_EQ(SampleValue(text, stage + "1e-06\"}"), 0);
  EXPECT_EQ(SampleValue(text, stage + "10\"}"), 1);
  const std::string request = R"(flashcore_request_duration_seconds_bucket{method="Attend",le=")";
  EXPECT_EQ(SampleValue(text, request + "5e-05\"}"), 0);
  EXPECT_EQ(SampleValue(text, request + "7.5e-05\"}"), 1);
  EXPECT_EQ(SampleValue(text, request + "0.0001\"}"), 1);
  EXPECT_EQ(SampleValue(text, request + "+Inf\"}"), 1);
  EXPECT_EQ(text.find(request + "4e-05\"}"), std::string::npos) << "requests start at 50 us";
}

TEST(MetricsTest, RecordsBatchesAndRejections) {
  Metrics metrics(Facts());
  metrics.RecordBatch({.requests = 3, .bytes = 4096, .flops = 1e9});
  metrics.RecordBatch({.device = 1, .requests = 1, .bytes = 1024, .flops = 5e8});
  metrics.RecordRejection(Rejection::kQueueFull);
  metrics.RecordRejection(Rejection::kDeviceFault);
  const std::string text = metrics.ExpositionText();
  EXPECT_EQ(SampleValue(text, "flashcore_batches_total"), 2);
  EXPECT_EQ(SampleValue(text, "flashcore_flops_total"), 1.5e9);
  EXPECT_EQ(SampleValue(text, "flashcore_batch_requests_sum"), 4);
  EXPECT_EQ(SampleValue(text, "flashcore_batch_requests_bucket{le=\"1\"}"), 1);
  EXPECT_EQ(SampleValue(text, "flashcore_batch_bytes_sum"), 5120);
  EXPECT_EQ(SampleValue(text, "flashcore_batch_flops_sum"), 1.5e9);
  EXPECT_EQ(SampleValue(text, "flashcore_device_batches_total{device=\"0\"}"), 1);
  EXPECT_EQ(SampleValue(text, "flashcore_device_batches_total{device=\"3\"}"), 1);
  EXPECT_EQ(SampleValue(text, "flashcore_device_flops_total{device=\"0\"}"), 1e9);
  EXPECT_EQ(metrics.DeviceFlops(1), 5e8);
  EXPECT_EQ(SampleValue(text, "flashcore_rejections_total{reason=\"queue_full\"}"), 1);
  EXPECT_EQ(SampleValue(text, "flashcore_rejections_total{reason=\"device_fault\"}"), 1);
  EXPECT_EQ(SampleValue(text, "flashcore_rejections_total{reason=\"deadline\"}"), 0);
}

TEST(MetricsTest, CountsTheQueueInAllAndByPriority) {
  Metrics metrics(Facts());
  metrics.AddQueueLength(Priority::kLow, 2);
  metrics.AddQueueLength(Priority::kHigh, 3);
  metrics.AddQueueLength(Priority::kLow, -1);
  const std::string text = metrics.ExpositionText();
  EXPECT_EQ(SampleValue(text, "flashcore_queue_length"), 4);
  EXPECT_EQ(SampleValue(text, "flashcore_priority_queue_length{priority=\"low\"}"), 1);
  EXPECT_EQ(SampleValue(text, "flashcore_priority_queue_length{priority=\"normal\"}"), 0);
  EXPECT_EQ(SampleValue(text, "flashcore_priority_queue_length{priority=\"high\"}"), 3);
}

TEST(MetricsTest, AsksForBytesInFlightAtEachScrape) {
  Metrics metrics(Facts());
  int64_t bytes = 7;
  metrics.SetBytesInFlightSource([&bytes] { return bytes; });
  EXPECT_EQ(SampleValue(metrics.ExpositionText(), "flashcore_in_flight_bytes"), 7);
  bytes = 0;
  EXPECT_EQ(SampleValue(metrics.ExpositionText(), "flashcore_in_flight_bytes"), 0);
}

TEST(MetricsTest, AsksForLaunchesAtEachScrape) {
  Metrics metrics(Facts());
  EXPECT_THAT(metrics.ExpositionText(), testing::Not(testing::HasSubstr("flashcore_kernel_launches_total")));
  int64_t launches = 7;
  metrics.SetKernelLaunchesSource([&launches] {
    return std::vector<KernelLaunches>{{.device = 0, .kernel = "cuda/scalar", .launches = 1},
                                       {.device = 1, .kernel = "cuda/scalar", .launches = launches}};
  });
  for (; launches < 9; ++launches) {
    const std::string text = metrics.ExpositionText();
    EXPECT_EQ(SampleValue(text, R"(flashcore_kernel_launches_total{device="0",kernel="cuda/scalar"})"), 1);
    EXPECT_EQ(SampleValue(text, R"(flashcore_kernel_launches_total{device="3",kernel="cuda/scalar"})"), launches);
  }
}

TEST(MetricsTest, LosesNothingAmongThreads) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 500;
  Metrics metrics(Facts());
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&metrics] {
      CallRecord record;
      record.total_ns = 1;
      record.bytes_in = 2;
      for (int round = 0; round < kRounds; ++round) {
        metrics.AddRequestsInFlight(1);
        metrics.AddQueueLength(Priority::kNormal, 2);
        metrics.RecordCall(record);
        metrics.RecordBatch({.requests = 1, .bytes = 1, .flops = 1});
        metrics.AddQueueLength(Priority::kNormal, -2);
        metrics.AddRequestsInFlight(-1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::string text = metrics.ExpositionText();
  EXPECT_EQ(SampleValue(text, "flashcore_requests_total{code=\"OK\",method=\"Attend\"}"), kThreads * kRounds);
  EXPECT_EQ(SampleValue(text, "flashcore_request_duration_seconds_count{method=\"Attend\"}"), kThreads * kRounds);
  EXPECT_EQ(SampleValue(text, "flashcore_received_bytes_total"), 2 * kThreads * kRounds);
  EXPECT_EQ(SampleValue(text, "flashcore_batches_total"), kThreads * kRounds);
  EXPECT_EQ(SampleValue(text, "flashcore_requests_in_flight"), 0);
  EXPECT_EQ(SampleValue(text, "flashcore_queue_length"), 0);
}

}  // namespace
}  // namespace flashcore
