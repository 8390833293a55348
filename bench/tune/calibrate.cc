// flashcore_calibrate: see kUsage.
#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "bench/kernel/commit.h"
#include "bench/kernel/shape.h"
#include "bench/tune/cost_fit.h"
#include "bench/tune/cost_table.h"
#include "bench/tune/plan_timer.h"
#include "bench/tune/plan_timings.h"
#include "bench/tune/regret.h"

ABSL_FLAG(std::string, measure, "", "file to write timings to; needs a GPU");
ABSL_FLAG(std::string, shapes_file, "bench/tune/calibration_shapes.txt", "what to time: shapes and names of sets");
ABSL_FLAG(int, sm_count, 0, "multiprocessors to time on: a slice of the GPU; 0: all");
ABSL_FLAG(int, device, 0, "which GPU, counted from 0");
ABSL_FLAG(absl::Duration, time_limit, absl::InfiniteDuration(), "begin to time no shape after this long");
ABSL_FLAG(std::vector<std::string>, timings, {}, "files of timings to fit to, separated by commas; needs no GPU");
ABSL_FLAG(std::string, output, "", "file to write the fitted constants to; empty: none");
ABSL_FLAG(uint64_t, seed, 42, "seed of the inputs and of the fit");
ABSL_FLAG(int, starts, 4, "starts of the fit; the best counts");
ABSL_FLAG(int, steps, 4000, "steps of the fit from each start");
ABSL_FLAG(int, threads, 0, "threads that fit; 0: one for each CPU");

namespace flashcore::bench {
namespace {

constexpr absl::string_view kProgram = "flashcore_calibrate";

constexpr absl::string_view kUsage = R"(calibrates the model that FlashCore's fused CUDA kernels are planned by.

A plan says how a problem is cut up: the kind of tile and among how many CTAs a tile's keys are shared. The planner takes
the one that its model (kernels/cuda/fused_cost.h) predicts to be the fastest. The model has a few constants for each
configuration of tiles, which depend on the kernels and the device. Whoever changes a kernel or a configuration measures
and fits again, in two steps:

  flashcore_calibrate --measure=device.txt                   # on a GPU: times every plan of every shape, whole GPU
  flashcore_calibrate --measure=slice.txt --sm_count=56      # the same in a slice of an L4's size
  flashcore_calibrate --timings=device.txt,slice.txt --output=kernels/cuda/tuned/costs.inc      # anywhere

and then builds again. The fit says how much longer the plans that the model chooses take than the fastest timed ones
(the regret), with the constants that the program was built with and with the fitted ones, and where it is worst.
Configurations that nothing was timed for keep their constants.

A line of a file of timings is a plan (bench/tune/plan_timings.h has the format). Calls are replayed as a CUDA graph on the
same tensors, so that what fits in L2 is read from there. Results are not checked here: flashcore_kernel_bench and the
tests do that.

Exit status: 2 if there is no GPU, or a file cannot be read or written.
)";

void DescribeProgram() {
  absl::SetProgramUsageMessage(kUsage);
  absl::FlagsUsageConfig config;
  config.normalize_filename = [](absl::string_view file) {
    return std::string(absl::EndsWith(file, "/calibrate.cc") ? kProgram : file);
  };
  config.contains_help_flags = [](absl::string_view file) { return file == kProgram; };
  absl::SetFlagsUsageConfig(config);
}

std::string Today() { return absl::FormatTime("%Y-%m-%d", absl::Now(), absl::UTCTimeZone()); }

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  return text.str();
}

absl::StatusOr<std::vector<Shape>> ReadShapes(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return text.status();
  const auto is_comment = [](absl::string_view line) { return absl::StartsWith(line, "#"); };
  std::vector<absl::string_view> lines = absl::StrSplit(*text, '\n');
  lines.erase(std::remove_if(lines.begin(), lines.end(), is_comment), lines.end());
  return ParseShapes(absl::StrJoin(lines, "\n"));
}

absl::Status MeasureAll(const std::string& path) {
  const absl::StatusOr<std::vector<Shape>> shapes = ReadShapes(absl::GetFlag(FLAGS_shapes_file));
  if (!shapes.ok()) return shapes.status();
  const uint64_t seed = absl::GetFlag(FLAGS_seed);
  absl::StatusOr<PlanTimer> timer = PlanTimer::Create(absl::GetFlag(FLAGS_device), absl::GetFlag(FLAGS_sm_count), seed);
  if (!timer.ok()) return timer.status();
  std::ofstream file(path);
  file << "# flashcore_calibrate: " << timer->device_name() << ", " << timer->limits().multiprocessors << " SMs, "
       << Today() << ", commit " << kCommit << ", seed " << seed << "\n";
  const absl::Time start = absl::Now();
  size_t plans = 0;
  for (size_t i = 0; i < shapes->size(); ++i) {
    if (absl::Now() - start > absl::GetFlag(FLAGS_time_limit)) {
      std::cerr << "out of time: " << shapes->size() - i << " shapes are left out" << std::endl;
      break;
    }
    const absl::StatusOr<std::vector<PlanTiming>> timings = timer->Time((*shapes)[i]);
    if (!timings.ok()) return timings.status();
    for (const PlanTiming& timing : *timings) file << ToLine(timing) << "\n";
    plans += timings->size();
    std::cerr << absl::StrFormat("[%d/%d] %s: %d plans, %.1f s so far\n", i + 1, shapes->size(), ToString((*shapes)[i]),
                                 timings->size(), absl::ToDoubleSeconds(absl::Now() - start));
  }
  file.close();
  if (!file) return absl::UnavailableError(absl::StrCat("cannot write ", path));
  std::cerr << plans << " plans timed; seed " << seed << std::endl;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<PlanTiming>> ReadAll(const std::vector<std::string>& paths) {
  std::vector<PlanTiming> all;
  for (const std::string& path : paths) {
    std::ifstream file(path);
    if (!file) return absl::NotFoundError(absl::StrCat("cannot read ", path));
    const absl::StatusOr<std::vector<PlanTiming>> timings = ReadTimings(file);
    if (!timings.ok()) return absl::InvalidArgumentError(absl::StrCat(path, ": ", timings.status().message()));
    all.insert(all.end(), timings->begin(), timings->end());
  }
  return all;
}

FitOptions Options() {
  FitOptions options;
  options.seed = absl::GetFlag(FLAGS_seed);
  options.starts = absl::GetFlag(FLAGS_starts);
  options.steps = absl::GetFlag(FLAGS_steps);
  const int threads = absl::GetFlag(FLAGS_threads);
  options.threads = threads > 0 ? threads : std::max(static_cast<int>(std::thread::hardware_concurrency()), 1);
  return options;
}

absl::Status Fit(const std::vector<std::string>& paths) {
  const absl::StatusOr<std::vector<PlanTiming>> timings = ReadAll(paths);
  if (!timings.ok()) return timings.status();
  const std::vector<Observation> plans = Observe(*timings);
  const FitOptions options = Options();
  const CostTable before = CheckedInCosts();
  const Regret regret_before = RegretOf(plans, before);
  std::cerr << "fitting to " << plans.size() << " plans; seed " << options.seed << std::endl;
  const CostTable fitted = FitCosts(plans, before, options, [](const FittedHeadDim& of) {
    std::cerr << absl::StrFormat("  head_dim %d: %d plans, predicted to within %.1f%% in the mean\n", of.head_dim,
                                 of.plans, 100.0 * of.error);
  });
  const Regret regret = RegretOf(plans, fitted);
  constexpr size_t kWorst = 20;
  std::cout << "regret before: " << ToString(regret_before) << "\nregret fitted: " << ToString(regret) << "\n"
            << WorstChoices(regret, *timings, kWorst) << std::flush;
  const std::string path = absl::GetFlag(FLAGS_output);
  if (path.empty()) return absl::OkStatus();
  std::ofstream file(path);
  file << ToSource(fitted, absl::StrFormat("%d timings, %s, seed %d\n// chosen plans over best: %s", plans.size(),
                                           Today(), options.seed, ToString(regret)));
  file.close();
  return file ? absl::OkStatus() : absl::UnavailableError(absl::StrCat("cannot write ", path));
}

absl::Status Run() {
  const std::string measure = absl::GetFlag(FLAGS_measure);
  const std::vector<std::string> timings = absl::GetFlag(FLAGS_timings);
  if (measure.empty() == timings.empty()) {
    return absl::InvalidArgumentError("what to do? --measure=FILE or --timings=FILES; --help has examples");
  }
  return timings.empty() ? MeasureAll(measure) : Fit(timings);
}

}  // namespace
}  // namespace flashcore::bench

int main(int argc, char** argv) {
  flashcore::bench::DescribeProgram();
  absl::ParseCommandLine(argc, argv);
  const absl::Status status = flashcore::bench::Run();
  if (status.ok()) return 0;
  std::cerr << flashcore::bench::kProgram << ": " << status.message() << std::endl;
  return 2;
}
