// flashcore_telemetry_load: see kUsage.
#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "bench/kernel/device.h"
#include "bench/kernel/shape.h"
#include "bench/telemetry/steady_load.h"
#include "prometheus/metric_family.h"
#include "server/telemetry/hardware.h"

ABSL_FLAG(std::string, shapes, "1,32,4096,128", "what to compute, one after the other: shapes, separated by spaces");
ABSL_FLAG(std::string, gpu_counters, "cupti", "cupti, nvml, estimate or off, as the server's flag");
ABSL_FLAG(double, seconds, 3, "how long each shape is computed, after a second in which counters settle");
ABSL_FLAG(int, sampling_rounds, 0,
          "instead: so many rounds without and with sampling, for the difference in throughput");

namespace flashcore::bench {
namespace {

constexpr absl::string_view kProgram = "flashcore_telemetry_load";
constexpr absl::string_view kUsage = R"(keeps the GPU computing, and prints what the server's telemetry says meanwhile.

One line of JSON for each shape: the means of the series that the server would export, and what was computed.
bench/telemetry_check.sh runs it beside ncu.

  flashcore_telemetry_load --shapes="1,32,4096,128 1,32,4096,128,causal" --gpu_counters=nvml
  flashcore_telemetry_load --sampling_rounds=5
)";

// The sampling period of these runs: short, so that a run has several samples.
constexpr std::chrono::milliseconds kPeriod(500);
constexpr std::chrono::duration<double> kSettling(1.0);
constexpr double kTera = 1e12;

class Mean {
 public:
  void Add(double value) {
    sum_ += value;
    ++count_;
  }
  // "null" where nothing was added.
  std::string Json() const { return count_ == 0 ? "null" : absl::StrFormat("%.6g", sum_ / count_); }

 private:
  double sum_ = 0;
  int count_ = 0;
};

// Means over many looks at the server's series.
struct Seen {
  Mean tensor;
  Mean sm;
  Mean dram;
  Mean clock_hertz;
  std::string source;

  void Look(const std::vector<prometheus::MetricFamily>& families) {
    for (const prometheus::MetricFamily& family : families) {
      const double first = family.metric.front().gauge.value;
      if (family.name == "flashcore_tensor_core_utilization_ratio") {
        tensor.Add(first);
        source = family.metric.front().label.back().value;
      }
      if (family.name == "flashcore_sm_active_ratio") sm.Add(first);
      if (family.name == "flashcore_dram_utilization_ratio") dram.Add(first);
      if (family.name == "flashcore_gpu_clock_hertz") clock_hertz.Add(first);
    }
  }
};

HardwareOptions Sampling(const std::string& gpu_counters, SteadyLoad& load) {
  return {.gpu_counters = gpu_counters, .period = kPeriod, .gpus = {0}, .flops = [&load](size_t /*device*/) {
            return load.flops();
          }};
}

absl::Status Watch(const Shape& shape, const Device& device, SteadyLoad& load) {
  const HardwareTelemetry hardware(Sampling(absl::GetFlag(FLAGS_gpu_counters), load));
  const auto nothing = [] {};
  absl::StatusOr<double> rate = load.RunFor(kSettling, nothing);
  if (!rate.ok()) return rate.status();
  Seen seen;
  rate = load.RunFor(std::chrono::duration<double>(absl::GetFlag(FLAGS_seconds)),
                     [&] { seen.Look(hardware.collectable()->Collect()); });
  if (!rate.ok()) return rate.status();
  std::cout << absl::StreamFormat(
                   R"({"shape": "%s", "source": "%s", "tensor": %s, "sm": %s, "dram": %s, "clock_hertz": %s, )",
                   ToString(shape), seen.source, seen.tensor.Json(), seen.sm.Json(), seen.dram.Json(),
                   seen.clock_hertz.Json())
            << absl::StreamFormat(R"("flops_per_second": %.6g, "flops_per_launch": %.17g, "multiprocessors": %d})",
                                  *rate, AttentionFlops(shape), device.sm_count)
            << std::endl;
  return absl::OkStatus();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Pairs of neighbours are compared: a clock that drifts moves both.
absl::Status CompareSampling(const Shape& shape, SteadyLoad& load, int rounds) {
  const std::chrono::duration<double> time(absl::GetFlag(FLAGS_seconds));
  std::vector<double> without;
  std::vector<double> with;
  std::vector<double> change;
  for (int round = 0; round < rounds; ++round) {
    for (const bool sampled : {false, true}) {
      std::optional<HardwareTelemetry> hardware;
      if (sampled) hardware.emplace(Sampling(absl::GetFlag(FLAGS_gpu_counters), load));
      // A server starts to sample once: what that costs is not part of it.
      absl::StatusOr<double> rate = load.RunFor(kSettling, [] {});
      if (rate.ok()) rate = load.RunFor(time, [] {});
      if (!rate.ok()) return rate.status();
      (sampled ? with : without).push_back(*rate);
    }
    change.push_back(with.back() / without.back() - 1);
  }
  std::cout << absl::StreamFormat(R"({"shape": "%s", "tflops_without": %.2f, "tflops_with": %.2f, "change": %.5f, )",
                                  ToString(shape), Median(without) / kTera, Median(with) / kTera, Median(change))
            << absl::StreamFormat(R"("least_change": %.5f, "greatest_change": %.5f, "rounds": %d})",
                                  *std::min_element(change.begin(), change.end()),
                                  *std::max_element(change.begin(), change.end()), rounds)
            << std::endl;
  return absl::OkStatus();
}

absl::Status Run() {
  const absl::StatusOr<std::vector<Shape>> shapes = ParseShapes(absl::GetFlag(FLAGS_shapes));
  if (!shapes.ok()) return shapes.status();
  const absl::StatusOr<Device> device = OpenDevice(0);
  if (!device.ok()) return device.status();
  const int rounds = absl::GetFlag(FLAGS_sampling_rounds);
  for (const Shape& shape : *shapes) {
    const absl::StatusOr<std::unique_ptr<SteadyLoad>> load = SteadyLoad::Create(shape, *device);
    if (!load.ok()) return load.status();
    absl::Status status = rounds > 0 ? CompareSampling(shape, **load, rounds) : Watch(shape, *device, **load);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace flashcore::bench

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(flashcore::bench::kUsage);
  absl::FlagsUsageConfig config;
  config.normalize_filename = [](absl::string_view file) {
    return std::string(absl::EndsWith(file, "/telemetry_load.cc") ? flashcore::bench::kProgram : file);
  };
  config.contains_help_flags = [](absl::string_view file) { return file == flashcore::bench::kProgram; };
  absl::SetFlagsUsageConfig(config);
  absl::ParseCommandLine(argc, argv);
  const absl::Status status = flashcore::bench::Run();
  if (!status.ok()) std::cerr << "error: " << status.message() << std::endl;
  return status.ok() ? 0 : 1;
}
