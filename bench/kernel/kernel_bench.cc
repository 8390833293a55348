// flashcore_kernel_bench: see kUsage.
#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
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
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "bench/kernel/commit.h"
#include "bench/kernel/device.h"
#include "bench/kernel/device_slice.h"
#include "bench/kernel/measure.h"
#include "bench/kernel/report.h"
#include "bench/kernel/shape.h"
#include "kernels/attention.h"
#include "kernels/cuda/runtime.h"

ABSL_FLAG(std::string, shapes, "grid long", "what to measure: names of sets and shapes, separated by spaces");
ABSL_FLAG(std::vector<std::string>, kernels, {"auto"}, "kernels by name, separated by commas");
ABSL_FLAG(int, timings, 100, "timings per measurement; the median is reported");
ABSL_FLAG(double, max_seconds, 2.0, "longest time for one measurement; slow kernels are timed less often");
ABSL_FLAG(uint64_t, seed, 42, "seed of the random inputs");
ABSL_FLAG(int, device, 0, "which GPU, counted from 0");
ABSL_FLAG(int, sm_count, 0, "multiprocessors to use: a slice of the GPU; 0: all");
ABSL_FLAG(std::string, json, "", "file to write the results to as JSON; empty: none");

namespace flashcore::bench {
namespace {

constexpr absl::string_view kProgram = "flashcore_kernel_bench";
// What other kernels are compared with where the reference would take too long.
constexpr absl::string_view kSimpleKernel = "scalar";

constexpr absl::string_view kUsage = R"(measures FlashCore's CUDA kernels on this machine's GPU.

Every kernel is checked before it is timed: on all rows against a double-precision reference, or, for large shapes,
on a sample of rows against the reference and on all others against the scalar kernel. What is wrong is not timed,
and the exit status is 1.

Times are per call. "graph" replays a CUDA graph of at least 20 calls; "events" makes the calls one by one. "rotated"
walks over copies of the tensors that fill three times the L2 cache, "resident" uses the same tensors every time.
TFLOP/s count 4 * head_dim operations per visible pair of query and key, and belong to "graph, rotated".

  flashcore_kernel_bench                                            # the standard shapes, kernel 'auto'
  flashcore_kernel_bench --shapes=mission --kernels=scalar,auto
  flashcore_kernel_bench --shapes=slice --sm_count=56               # as on a smaller GPU
  flashcore_kernel_bench --shapes="1,8,512,64,causal 1,32,1,128,kv_heads=8,kv_len=4096,bf16" --json=results.json

A shape is batch,query heads,tokens,head_dim with options in any order:
  causal  bf16  kv_heads=N  kv_len=N  window=LEFT:RIGHT  soft_cap=X
Sets of shapes:
)";

std::string Usage() {
  std::string usage(kUsage);
  for (const ShapeSet& set : ShapeSets()) {
    absl::StrAppend(&usage, absl::StrFormat("  %-8s %s:\n             ", set.name, set.meaning),
                    absl::StrJoin(set.shapes, " "), "\n");
  }
  return usage;
}

void DescribeProgram() {
  absl::SetProgramUsageMessage(Usage());
  absl::FlagsUsageConfig config;
  config.normalize_filename = [](absl::string_view file) {
    return std::string(absl::EndsWith(file, "/kernel_bench.cc") ? kProgram : file);
  };
  config.contains_help_flags = [](absl::string_view file) { return file == kProgram; };
  absl::SetFlagsUsageConfig(config);
}

using Backends = std::vector<std::pair<std::string, std::unique_ptr<AttentionBackend>>>;

absl::StatusOr<std::unique_ptr<AttentionBackend>> OpenKernel(absl::string_view kernel, int device_ordinal) {
  BackendOptions options;
  options.backend = "cuda";
  options.kernel = std::string(kernel);
  options.device_ordinal = device_ordinal;
  return CreateBackend(options);
}

absl::StatusOr<Backends> OpenKernels(const std::vector<std::string>& names, int device_ordinal) {
  Backends backends;
  for (const std::string& name : names) {
    absl::StatusOr<std::unique_ptr<AttentionBackend>> backend = OpenKernel(name, device_ordinal);
    if (!backend.ok()) return backend.status();
    backends.emplace_back(name, *std::move(backend));
  }
  return backends;
}

absl::Status CheckInside(const std::optional<DeviceSlice>& slice) {
  return slice.has_value() ? slice->CheckCurrent() : absl::OkStatus();
}

// With backends of its own: what a backend keeps for each captured graph ends with it.
absl::StatusOr<std::vector<Result>> MeasureShape(const Shape& shape, const RunRecord& record, cudaStream_t stream) {
  const int ordinal = absl::GetFlag(FLAGS_device);
  const absl::StatusOr<Backends> backends = OpenKernels(absl::GetFlag(FLAGS_kernels), ordinal);
  if (!backends.ok()) return backends.status();
  const absl::StatusOr<std::unique_ptr<AttentionBackend>> simple = OpenKernel(kSimpleKernel, ordinal);
  if (!simple.ok()) return simple.status();
  absl::StatusOr<Workload> workload = Workload::Create(shape, record.device, **simple, record.options, stream);
  if (!workload.ok()) return workload.status();
  std::vector<Result> results;
  for (const auto& [name, backend] : *backends) {
    results.push_back(workload->Measure(*backend, name, stream));
    const Result& result = results.back();
    std::cerr << "    " << name << ": "
              << (result.reason.empty() ? Format(result.graph_rotated) + " us" : result.reason) << std::endl;
  }
  return results;
}

absl::StatusOr<std::vector<Result>> MeasureShapes(const std::vector<Shape>& shapes,
                                                  const std::optional<DeviceSlice>& slice, const RunRecord& record) {
  const absl::StatusOr<cuda::Stream> stream = cuda::CreateStream();
  if (!stream.ok()) return stream.status();
  std::vector<Result> all;
  for (size_t i = 0; i < shapes.size(); ++i) {
    std::cerr << "[" << i + 1 << "/" << shapes.size() << "] " << ToString(shapes[i]) << std::endl;
    absl::StatusOr<std::vector<Result>> results = MeasureShape(shapes[i], record, stream->get());
    absl::Status inside = CheckInside(slice);
    if (!inside.ok()) return inside;
    if (!results.ok()) return results.status();
    std::move(results->begin(), results->end(), std::back_inserter(all));
  }
  return all;
}

absl::Status WriteFile(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.close();
  return file ? absl::OkStatus() : absl::UnavailableError(absl::StrCat("cannot write ", path));
}

bool Acceptable(const Result& result) {
  return result.verdict == Verdict::kCorrect || result.verdict == Verdict::kUnsupported;
}

RunRecord Describe(const Device& device) {
  RunRecord record;
  record.program = std::string(kProgram);
  record.version = FLASHCORE_VERSION;
  record.commit = kCommit;
  record.date = absl::FormatTime(absl::RFC3339_sec, absl::Now(), absl::UTCTimeZone());
  record.device = device;
  record.sms_used = device.sm_count;
  record.options = {absl::GetFlag(FLAGS_timings), absl::GetFlag(FLAGS_max_seconds), absl::GetFlag(FLAGS_seed)};
  return record;
}

absl::StatusOr<bool> Run() {
  const absl::StatusOr<std::vector<Shape>> shapes = ParseShapes(absl::GetFlag(FLAGS_shapes));
  if (!shapes.ok()) return shapes.status();
  const int ordinal = absl::GetFlag(FLAGS_device);
  const absl::StatusOr<Device> device = OpenDevice(ordinal);
  if (!device.ok()) return device.status();
  RunRecord record = Describe(*device);
  std::optional<DeviceSlice> slice;
  if (const int sm_count = absl::GetFlag(FLAGS_sm_count); sm_count > 0) {
    absl::StatusOr<DeviceSlice> entered = DeviceSlice::Enter(ordinal, sm_count);
    if (!entered.ok()) return entered.status();
    slice = *entered;
    record.sms_used = slice->sm_count();
  }
  const absl::StatusOr<std::vector<Result>> results = MeasureShapes(*shapes, slice, record);
  if (!results.ok()) return results.status();
  record.state = ReadDeviceState(*device);

  if (const std::string path = absl::GetFlag(FLAGS_json); !path.empty()) {
    const absl::Status written = WriteFile(path, Json(record, *results));
    if (!written.ok()) return written;
  }
  std::cout << "\n" << Table(record, *results) << std::flush;
  return std::all_of(results->begin(), results->end(), Acceptable);
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
