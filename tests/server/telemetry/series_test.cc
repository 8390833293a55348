// All series together: by Prometheus' conventions, and in the README's list.
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"
#include "server/telemetry/cpu_telemetry.h"
#include "server/telemetry/gpu/gpu_telemetry.h"
#include "server/telemetry/metrics.h"
#include "server/telemetry/process_metrics.h"
#include "tests/server/telemetry/simulated_clock.h"

namespace flashcore {
namespace {

using Families = std::vector<prometheus::MetricFamily>;

// One of which nothing is unknown.
GpuSnapshot CompleteSnapshot() {
  GpuSnapshot snapshot;
  snapshot.identity = {.name = "GPU", .uuid = "U", .pci_bus_id = "0", .driver_version = "1"};
  snapshot.counters = {.tensor_ratio = 0.5, .sm_ratio = 0.5, .dram_ratio = 0.5};
  snapshot.source = "cupti";
  snapshot.statuses = {{.name = "cupti", .state = SourceState::kActive}};
  snapshot.device = {.busy_ratio = 0,
                     .memory_busy_ratio = 0,
                     .memory_used_bytes = 0,
                     .memory_size_bytes = 0,
                     .power_watts = 0,
                     .power_limit_watts = 0,
                     .energy_joules = 0,
                     .sm_clock_hertz = 0,
                     .sm_max_clock_hertz = 0,
                     .memory_clock_hertz = 0,
                     .memory_max_clock_hertz = 0,
                     .temperature_celsius = 0,
                     .throttle_reasons = 0,
                     .pcie_received_bytes_per_second = 0,
                     .pcie_sent_bytes_per_second = 0,
                     .ecc_corrected_errors = 0,
                     .ecc_uncorrected_errors = 0,
                     .xid_errors = 0,
                     .last_xid = 0};
  return snapshot;
}

Families AllFamilies() {
  SimulatedClock clock;
  CpuTelemetry cpu([] { return int64_t{0}; }, 1, clock);
  cpu.Sample();
  clock.AdvanceNs(1);
  cpu.Sample();
  Metrics metrics({});
  metrics.SetKernelLaunchesSource([] { return std::vector<KernelLaunches>{{.kernel = "cuda/scalar"}}; });
  Families all;
  for (Families families : {metrics.collectable()->Collect(), cpu.Collect(), CreateProcessMetrics()->Collect(),
                            GpuFamilies({CompleteSnapshot()})}) {
    std::move(families.begin(), families.end(), std::back_inserter(all));
  }
  return all;
}

TEST(SeriesTest, TheReadmeListsEveryOne) {
  std::ifstream file(FLASHCORE_SERVER_README);
  const std::string readme{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  ASSERT_FALSE(readme.empty());
  for (const prometheus::MetricFamily& family : AllFamilies()) {
    EXPECT_TRUE(absl::StrContains(readme, absl::StrCat("`", family.name, "`"))) << family.name;
  }
}

TEST(SeriesTest, NamesSayWhatTheyAre) {
  for (const prometheus::MetricFamily& family : AllFamilies()) {
    const std::string& name = family.name;
    EXPECT_TRUE(absl::StartsWith(name, "flashcore_") || absl::StartsWith(name, "process_")) << name;
    EXPECT_EQ(absl::EndsWith(name, "_total"), family.type == prometheus::MetricType::Counter) << name;
    EXPECT_TRUE(absl::EndsWith(family.help, ".")) << name << ": " << family.help;
    for (const char* part :
         {"_ms_", "_us_", "_ns_", "_percent_", "_mhz_", "_milliwatts_", "_kib_", "_counter_", "_gauge_"}) {
      EXPECT_FALSE(absl::StrContains(absl::StrCat(name, "_"), part)) << name;
    }
  }
}

}  // namespace
}  // namespace flashcore
