// What watches the hardware without a GPU: the process, its CPUs, and the thread that samples.
#include "server/telemetry/hardware.h"

#include <atomic>
#include <chrono>
#include <future>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/telemetry/cpu_telemetry.h"
#include "server/telemetry/periodic_task.h"
#include "server/telemetry/process_metrics.h"
#include "server/telemetry/text_format.h"
#include "tests/server/telemetry/exposition.h"
#include "tests/server/telemetry/simulated_clock.h"

namespace flashcore {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr char kCpuRatio[] = "flashcore_cpu_utilization_ratio";

std::string Text(const prometheus::Collectable& collectable) { return ToTextFormat(collectable.Collect()); }

TEST(PeriodicTask, CallsAgainAndAgainUntilItEnds) {
  std::promise<void> called_three_times;
  int calls = 0;
  {
    const PeriodicTask task(std::chrono::milliseconds(1), [&] {
      if (++calls == 3) called_three_times.set_value();
    });
    called_three_times.get_future().wait();
  }
  EXPECT_GE(calls, 3);
}

TEST(PeriodicTask, EndsInTheMiddleOfALongPeriod) {
  std::promise<void> called;
  const PeriodicTask task(std::chrono::hours(1), [&] { called.set_value(); });
  called.get_future().wait();
}

TEST(CpuTelemetry, IsTheShareOfAllUsableCpus) {
  SimulatedClock clock;
  int64_t cpu_ns = 0;
  CpuTelemetry telemetry([&] { return cpu_ns; }, /*num_cpus=*/4, clock);
  EXPECT_EQ(Text(telemetry), "");
  telemetry.Sample();
  EXPECT_EQ(Text(telemetry), "");
  clock.AdvanceNs(2 * kSecondNs);
  cpu_ns += 2 * kSecondNs;
  telemetry.Sample();
  EXPECT_EQ(SampleValue(Text(telemetry), kCpuRatio), 0.25);
  clock.AdvanceNs(kSecondNs);
  telemetry.Sample();
  EXPECT_EQ(SampleValue(Text(telemetry), kCpuRatio), 0);
}

TEST(CpuTelemetry, ThisProcessHasCpusAndUsesThem) {
  EXPECT_GE(UsableCpus(), 1);
  EXPECT_GT(ProcessCpuNs(), 0);
}

TEST(ProcessMetrics, ParsesWhateverTheProgramIsCalled) {
  std::string line = "42 (a) (b) 1) S";
  for (int field = 4; field <= 24; ++field) absl::StrAppend(&line, " ", 100 + field);
  const std::optional<ProcessStat> stat = ParseProcessStat(line);
  ASSERT_TRUE(stat.has_value());
  EXPECT_EQ(stat->cpu_ticks, 114 + 115);
  EXPECT_EQ(stat->threads, 120);
  EXPECT_EQ(stat->start_ticks, 122);
  EXPECT_EQ(stat->virtual_bytes, 123);
  EXPECT_EQ(stat->resident_pages, 124);
}

TEST(ProcessMetrics, WhatIsNoStatLineIsAbsent) {
  for (const char* line : {"", "1 (a", "1 (a) S 1 2 3", "1 (a) S x x x x x x x x x x x x x x x x x x x x x x"}) {
    EXPECT_FALSE(ParseProcessStat(line).has_value()) << line;
  }
}

TEST(ProcessMetrics, TellsAboutThisProcess) {
  const std::string text = Text(*CreateProcessMetrics());
  EXPECT_GE(SampleValue(text, "process_cpu_seconds_total"), 0);
  EXPECT_GT(SampleValue(text, "process_resident_memory_bytes"), 100e3);
  EXPECT_GT(SampleValue(text, "process_virtual_memory_bytes"), SampleValue(text, "process_resident_memory_bytes"));
  EXPECT_GE(SampleValue(text, "process_open_fds"), 1);
  EXPECT_GE(SampleValue(text, "process_max_fds"), SampleValue(text, "process_open_fds"));
  EXPECT_GE(SampleValue(text, "process_threads"), 1);
  const auto now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  // The kernel keeps whole seconds of the boot, and ticks from there.
  EXPECT_LE(SampleValue(text, "process_start_time_seconds"), now + 2);
  EXPECT_GT(SampleValue(text, "process_start_time_seconds"), 1e9);
}

TEST(HardwareTelemetry, ACpuBackendHasNoSeriesOfAGpu) {
  const HardwareTelemetry hardware({.gpu_counters = "auto", .period = std::chrono::milliseconds(1)});
  std::string text;
  while (text.empty()) text = Text(*hardware.collectable());
  EXPECT_THAT(text, HasSubstr(kCpuRatio));
  EXPECT_THAT(text, Not(HasSubstr("gpu")));
}

TEST(HardwareTelemetry, AGpuThatIsNotThereIsNoFailure) {
  const HardwareTelemetry hardware({.gpu_counters = "off", .period = std::chrono::milliseconds(1), .gpus = {63}});
  EXPECT_EQ(Text(*hardware.collectable()), "");
}

}  // namespace
}  // namespace flashcore
