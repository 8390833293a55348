// flashcore_tune: see kUsage.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "bench/kernel/commit.h"
#include "bench/kernel/device.h"
#include "bench/kernel/device_slice.h"
#include "bench/kernel/measure.h"
#include "bench/kernel/shape.h"
#include "bench/tune/plan_cost.h"
#include "bench/tune/plan_space.h"
#include "bench/tune/plan_table.h"
#include "bench/tune/planned_backend.h"
#include "bench/tune/search.h"
#include "kernels/backends.h"
#include "kernels/cuda/fused_plan.h"
#include "kernels/cuda/runtime.h"

ABSL_FLAG(std::string, shapes, "grid slice decode tuning", "what to tune for: names of sets and shapes");
ABSL_FLAG(int, sm_count, 0, "multiprocessors to tune for: a slice of the GPU; 0: all");
ABSL_FLAG(int, device, 0, "which GPU, counted from 0");
ABSL_FLAG(uint64_t, seed, 42, "seed of the inputs and of the search");
ABSL_FLAG(uint64_t, budget, 24, "points that the search may evaluate for each class");
ABSL_FLAG(int, timings, 30, "timings per measurement; the median counts");
ABSL_FLAG(double, max_seconds, 0.03, "longest time for one measurement");
ABSL_FLAG(absl::Duration, time_limit, absl::InfiniteDuration(), "begin no class after this long");
ABSL_FLAG(double, min_gain, 1.02, "leave out what is not this many times as fast as without the table");
ABSL_FLAG(double, max_loss, 1.01,
          "leave out what makes one of a class's problems take more than this many times as long");
ABSL_FLAG(std::string, output, "", "file to write the table to; empty: standard output");
ABSL_FLAG(std::string, json, "", "file to write every class and what was tried to as JSON; empty: none");

namespace flashcore::bench {
namespace {

using nlohmann::json;

constexpr absl::string_view kProgram = "flashcore_tune";

constexpr absl::string_view kUsage = R"(searches for the fastest plans of FlashCore's fused CUDA kernels on this GPU.

A plan says how a problem is cut up: the kind of tile and among how many CTAs a tile's keys are shared. Problems that the
kernels' table cannot tell apart (head_dim, mask, and the sizes to powers of two) are a class; a class of one problem gets
a second one, a little shorter. For each class an evolutionary search, which starts from the choices that
the cost model ranks highest, looks for the one with the least geometric mean of times. A time is the geometric mean of
calls that read from L2 (where the problem fits) and of calls that do not. Every plan is checked against a reference
before it is timed, and measured twice, of which the slower counts. What is wrong never wins. What won is measured anew,
beside the plan without the table, before it counts as a gain.

The result is the table that kernel 'auto' plans from, one line for each class, with its gain over the plan without
the table. To use it, write it over its file in kernels/cuda/tuned/ and build again:

  flashcore_tune --output=kernels/cuda/tuned/device.inc                     # the whole GPU
  flashcore_tune --sm_count=56 --output=kernels/cuda/tuned/slice.inc        # a slice of an L4's size
  flashcore_tune --shapes="mission 8,8,512,64" --time_limit=20s --json=tune.json

Shapes and sets are those of flashcore_kernel_bench; its --help lists them. Exit status: 1 if a plan computed something
wrong, 2 if nothing could be tuned.
)";

void DescribeProgram() {
  absl::SetProgramUsageMessage(kUsage);
  absl::FlagsUsageConfig config;
  config.normalize_filename = [](absl::string_view file) {
    return std::string(absl::EndsWith(file, "/tune.cc") ? kProgram : file);
  };
  config.contains_help_flags = [](absl::string_view file) { return file == kProgram; };
  absl::SetFlagsUsageConfig(config);
}

// What every class is tuned on.
struct Bench {
  Device device;
  int sms_used = 0;
  cuda::DeviceLimits limits;
  MeasureOptions options;
  cudaStream_t stream = nullptr;
};

// What came of one class.
struct Tuned {
  ProblemClass of;
  std::optional<TunedEntry> entry;  // Empty: no plan was correct.
  std::vector<std::string> wrong;   // Plans that were not, and why.
  double worst_ratio = 1.0;         // Of the problem that loses the most with the entry; below 1 if all gain.
  size_t plans = 0;
  bool exhaustive = false;
};

std::string Names(const std::vector<AttentionProblem>& problems) {
  std::string names;
  for (const AttentionProblem& problem : problems) absl::StrAppend(&names, names.empty() ? "" : " ", ToString(problem));
  return names;
}

absl::StatusOr<std::vector<Workload>> MakeWorkloads(const ProblemClass& of, const Bench& bench) {
  const absl::StatusOr<std::unique_ptr<AttentionBackend>> simple =
      CreateCudaBackend(absl::GetFlag(FLAGS_device), "scalar");
  if (!simple.ok()) return simple.status();
  std::vector<Workload> workloads;
  for (const AttentionProblem& problem : of.problems) {
    absl::StatusOr<Workload> workload = Workload::Create(problem, bench.device, **simple, bench.options, bench.stream);
    if (!workload.ok()) return workload.status();
    workloads.push_back(*std::move(workload));
  }
  return workloads;
}

double TimeOf(const Result& result) {
  const double rotated_us = result.graph_rotated->median_us;
  return result.graph_resident.has_value() ? std::sqrt(rotated_us * result.graph_resident->median_us) : rotated_us;
}

// What the model ranks highest, and every kind of tile.
std::vector<Point> StartPoints(const ProblemClass& of, const cuda::DeviceLimits& device, size_t budget) {
  std::vector<Point> points = PredictedPoints(of, device, budget / 2);
  for (const Point& point : UnsplitPoints()) points.push_back(point);
  return points;
}

absl::StatusOr<Tuned> TuneClass(const ProblemClass& of, const Bench& bench) {
  absl::StatusOr<std::vector<Workload>> workloads = MakeWorkloads(of, bench);
  if (!workloads.ok()) return workloads.status();
  Tuned tuned;
  tuned.of = of;
  // No point at all stands for the plan without the table.
  const auto plan_of = [&](size_t i, const Point& point) {
    const AttentionProblem& problem = of.problems[i];
    return KeyOf(point.empty() ? cuda::PlanFused(problem, bench.limits, cuda::FusedTuning())
                               : cuda::PlanFusedAs(problem, bench.limits, ChoiceOf(point)));
  };
  const auto measure = [&](size_t i, const PlanKey& key) {
    const cuda::FusedPlan plan = PlanOf(of.problems[i], bench.limits, key);
    // With a backend of its own: what it keeps for each captured graph ends with it.
    PlannedBackend backend(bench.limits, plan);
    const Result result = (*workloads)[i].Measure(backend, std::string(kProgram), bench.stream);
    if (result.verdict == Verdict::kCorrect) return Evaluation{true, TimeOf(result)};
    tuned.wrong.push_back(absl::StrCat(ToString(of.problems[i]), ", ", ToString(plan), ": ", result.reason));
    return Evaluation();
  };
  PlanCost cost(of.problems.size(), plan_of, measure);
  cost({});
  SearchOptions options;
  options.seed = absl::GetFlag(FLAGS_seed);
  options.budget = absl::GetFlag(FLAGS_budget);
  const SearchResult found =
      Search(PlanSpace(), std::ref(cost), StartPoints(of, bench.limits, options.budget), options);
  tuned.plans = cost.measured();
  tuned.exhaustive = found.exhaustive;
  if (!found.best.has_value()) return tuned;
  cost.Forget();
  const Evaluation baseline = cost({});
  const Evaluation best = cost(found.best->point);
  if (baseline.ok && best.ok) {
    tuned.entry = {Names(of.problems), TableKey(of.of), found.best->point, best.us, baseline.us};
    tuned.worst_ratio = cost.WorstRatio(found.best->point, {});
  }
  return tuned;
}

std::string Progress(const Tuned& tuned, const Bench& bench) {
  if (!tuned.entry.has_value()) return "no plan was correct";
  const TunedEntry& entry = *tuned.entry;
  const AttentionProblem& first = tuned.of.problems.front();
  if (entry.us >= entry.baseline_us || tuned.worst_ratio > absl::GetFlag(FLAGS_max_loss)) {
    return absl::StrFormat("%.2f us, and none better of %d plans", entry.baseline_us, tuned.plans);
  }
  return absl::StrFormat("%.2f us -> %.2f us (%.3f): %s; %d plans%s", entry.baseline_us, entry.us,
                         entry.baseline_us / entry.us,
                         ToString(cuda::PlanFusedAs(first, bench.limits, ChoiceOf(entry.choice))), tuned.plans,
                         tuned.exhaustive ? ", all there are" : "");
}

absl::StatusOr<std::vector<Tuned>> TuneAll(const std::vector<ProblemClass>& classes, const Bench& bench,
                                           const std::optional<DeviceSlice>& slice) {
  const absl::Time start = absl::Now();
  std::vector<Tuned> all;
  for (size_t i = 0; i < classes.size(); ++i) {
    if (absl::Now() - start > absl::GetFlag(FLAGS_time_limit)) {
      std::cerr << "out of time: " << classes.size() - i << " classes are left out" << std::endl;
      break;
    }
    std::cerr << "[" << i + 1 << "/" << classes.size() << "] " << ToString(classes[i].of) << ": "
              << Names(classes[i].problems) << std::endl;
    absl::StatusOr<Tuned> tuned = TuneClass(classes[i], bench);
    if (!tuned.ok()) return tuned.status();
    absl::Status inside = slice.has_value() ? slice->CheckCurrent() : absl::OkStatus();
    if (!inside.ok()) return inside;
    std::cerr << "    " << Progress(*tuned, bench) << std::endl;
    for (const std::string& wrong : tuned->wrong) std::cerr << "    WRONG: " << wrong << std::endl;
    all.push_back(*std::move(tuned));
  }
  return all;
}

PlanTable MakeTable(const std::vector<Tuned>& all, const Bench& bench) {
  PlanTable table;
  table.provenance =
      absl::StrFormat("%s, %d of %d SMs, %s, commit %s, seed %d, budget %d", bench.device.name, bench.sms_used,
                      bench.device.sm_count, absl::FormatTime("%Y-%m-%d", absl::Now(), absl::UTCTimeZone()), kCommit,
                      bench.options.seed, absl::GetFlag(FLAGS_budget));
  table.key_names = TableKeyNames();
  table.dimensions = ChoiceNames();
  for (const Tuned& tuned : all) {
    const bool gains = tuned.entry.has_value() && tuned.worst_ratio <= absl::GetFlag(FLAGS_max_loss) &&
                       tuned.entry->baseline_us >= tuned.entry->us * absl::GetFlag(FLAGS_min_gain);
    if (gains) table.entries.push_back(*tuned.entry);
  }
  return table;
}

json ToJson(const std::vector<Tuned>& all, const PlanTable& table, const Bench& bench) {
  json classes = json::array();
  for (const Tuned& tuned : all) {
    json row = {{"class", ToString(tuned.of.of)},       {"key", TableKey(tuned.of.of)},
                {"problems", Names(tuned.of.problems)}, {"plans", tuned.plans},
                {"exhaustive", tuned.exhaustive},       {"wrong", tuned.wrong}};
    if (tuned.entry.has_value()) {
      row["choice"] = tuned.entry->choice;
      row["us"] = tuned.entry->us;
      row["baseline_us"] = tuned.entry->baseline_us;
      row["worst_ratio"] = tuned.worst_ratio;
    }
    classes.push_back(row);
  }
  const DeviceState state = ReadDeviceState(bench.device);
  return {{"program", kProgram},
          {"commit", kCommit},
          {"date", absl::FormatTime(absl::RFC3339_sec, absl::Now(), absl::UTCTimeZone())},
          {"device", bench.device.name},
          {"driver", state.driver},
          {"sm_clock_mhz", state.sm_clock_mhz},
          {"sms_used", bench.sms_used},
          {"seed", bench.options.seed},
          {"mean_gain", MeanGain(table.entries)},
          {"classes", classes}};
}

absl::Status WriteFile(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.close();
  return file ? absl::OkStatus() : absl::UnavailableError(absl::StrCat("cannot write ", path));
}

// Opens the device, and the slice if one is wanted.
absl::StatusOr<Bench> Open(std::optional<DeviceSlice>& slice) {
  const int ordinal = absl::GetFlag(FLAGS_device);
  absl::StatusOr<Device> device = OpenDevice(ordinal);
  if (!device.ok()) return device.status();
  Bench bench;
  bench.device = *std::move(device);
  if (const int sm_count = absl::GetFlag(FLAGS_sm_count); sm_count > 0) {
    absl::StatusOr<DeviceSlice> entered = DeviceSlice::Enter(ordinal, sm_count);
    if (!entered.ok()) return entered.status();
    slice = *entered;
  }
  bench.sms_used = cuda::UsableMultiprocessors(bench.device.sm_count);
  bench.limits = {bench.sms_used, static_cast<int64_t>(bench.device.l2_bytes),
                  static_cast<int64_t>(bench.device.shared_bytes_per_sm)};
  bench.options.timings = absl::GetFlag(FLAGS_timings);
  bench.options.max_seconds = absl::GetFlag(FLAGS_max_seconds);
  bench.options.seed = absl::GetFlag(FLAGS_seed);
  bench.options.only_graphs = true;
  return bench;
}

// Whether every plan was correct.
absl::StatusOr<bool> Run() {
  const absl::StatusOr<std::vector<Shape>> shapes = ParseShapes(absl::GetFlag(FLAGS_shapes));
  if (!shapes.ok()) return shapes.status();
  std::optional<DeviceSlice> slice;
  absl::StatusOr<Bench> bench = Open(slice);
  if (!bench.ok()) return bench.status();
  const absl::StatusOr<cuda::Stream> stream = cuda::CreateStream();
  if (!stream.ok()) return stream.status();
  bench->stream = stream->get();
  const absl::Status loaded = cuda::FusedLauncher::Load();
  if (!loaded.ok()) return loaded;
  std::vector<ProblemClass> classes = GroupByClass(*shapes, bench->limits);
  for (ProblemClass& of : classes) AddRelative(of, bench->limits);
  const absl::StatusOr<std::vector<Tuned>> all = TuneAll(classes, *bench, slice);
  if (!all.ok()) return all.status();
  const PlanTable table = MakeTable(*all, *bench);
  std::cerr << table.entries.size() << " of " << all->size() << " classes gain, by " << MeanGain(table.entries)
            << " (geometric mean)" << std::endl;
  if (const std::string path = absl::GetFlag(FLAGS_json); !path.empty()) {
    constexpr int kIndent = 2;
    const absl::Status written = WriteFile(path, ToJson(*all, table, *bench).dump(kIndent) + "\n");
    if (!written.ok()) return written;
  }
  const std::string path = absl::GetFlag(FLAGS_output);
  const absl::Status written = path.empty() ? absl::OkStatus() : WriteFile(path, ToSource(table));
  if (!written.ok()) return written;
  if (path.empty()) std::cout << ToSource(table) << std::flush;
  return std::all_of(all->begin(), all->end(), [](const Tuned& tuned) { return tuned.wrong.empty(); });
}

}  // namespace
}  // namespace flashcore::bench

int main(int argc, char** argv) {
  flashcore::bench::DescribeProgram();
  absl::ParseCommandLine(argc, argv);
  const absl::StatusOr<bool> all_correct = flashcore::bench::Run();
  if (!all_correct.ok()) {
    std::cerr << flashcore::bench::kProgram << ": " << all_correct.status().message() << std::endl;
    return 2;
  }
  return *all_correct ? 0 : 1;
}
