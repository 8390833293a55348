#include "bench/kernel/measure.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "bench/kernel/host_tensors.h"
#include "bench/kernel/timing.h"

namespace flashcore::bench {
namespace {

// Enough that nothing of a set is left in the cache when its turn comes again.
constexpr size_t kL2Multiple = 3;
constexpr size_t kMinCalls = 20;
constexpr double kFlopsPerMicroPerTeraflops = 1e6;

absl::Status Launch(AttentionBackend& backend, const AttentionProblem& problem, cudaStream_t stream) {
  return backend.Launch(absl::MakeConstSpan(&problem, 1), stream);
}

}  // namespace

absl::StatusOr<Workload> Workload::Create(const Shape& shape, const Device& device, AttentionBackend& simple,
                                          const MeasureOptions& options, cudaStream_t stream) {
  const HostTensors tensors = DrawTensors(shape, options.seed);
  absl::StatusOr<DeviceSets> sets = DeviceSets::Create(shape, tensors, kL2Multiple * device.l2_bytes);
  if (!sets.ok()) return sets.status();
  Workload workload(shape, device, options, Oracle(shape, tensors, options.seed), *std::move(sets));
  if (workload.oracle_.complete()) return workload;
  absl::StatusOr<std::vector<std::byte>> output = workload.Run(simple, 0, stream);
  if (!output.ok()) return output.status();
  std::vector<float> values = Decode(shape.dtype, *output);
  const double error = workload.oracle_.MaxError(values);
  if (error > workload.oracle_.tolerance()) {
    return absl::InternalError(absl::StrCat("the kernel to compare with, ", simple.info().kernel, ", is wrong by ",
                                            error, "; allowed is ", workload.oracle_.tolerance()));
  }
  workload.simple_output_ = std::move(values);
  return workload;
}

absl::StatusOr<std::vector<std::byte>> Workload::Run(AttentionBackend& backend, size_t set, cudaStream_t stream) {
  absl::Status status = sets_.Poison();
  if (status.ok()) status = Launch(backend, sets_.problem(set), stream);
  if (!status.ok()) return status;
  return sets_.ReadOutput(set);
}

void Workload::Check(absl::Span<const std::byte> output, Result& result) const {
  const std::vector<float> values = Decode(shape_.dtype, output);
  result.tolerance = oracle_.tolerance();
  result.max_error = oracle_.MaxError(values);
  std::string than = "the reference";
  if (result.max_error <= result.tolerance && !simple_output_.empty()) {
    result.max_error = std::max(result.max_error, MaxDifference(shape_.dtype, values, simple_output_));
    than = "the simpler kernel";
  }
  result.verdict = result.max_error <= result.tolerance ? Verdict::kCorrect : Verdict::kWrong;
  if (result.verdict == Verdict::kWrong) {
    result.reason = absl::StrCat("differs from ", than, " by ", result.max_error, "; allowed is ", result.tolerance);
  }
}

absl::Status Workload::Time(AttentionBackend& backend, cudaStream_t stream, Result& result) {
  const size_t sets = sets_.size();
  TimingOptions timing{options_.timings, options_.max_seconds, (kMinCalls + sets - 1) / sets * sets};
  const Call rotated = [&](size_t call, cudaStream_t on) { return Launch(backend, sets_.problem(call % sets), on); };
  const Call resident = [&](size_t /*call*/, cudaStream_t on) { return Launch(backend, sets_.problem(0), on); };

  // Where the calls of one timing alone would take all the time there is, one round over the sets has to do.
  TimingOptions trial{kMinTimings, 0.0, sets};
  absl::StatusOr<Summary> summary = TimeByEvents(rotated, trial, stream);
  if (!summary.ok()) return summary.status();
  const double seconds = summary->median_us * 1e-6 * static_cast<double>(timing.calls) * options_.timings;
  if (seconds > options_.max_seconds) timing.calls = sets;

  summary = TimeByGraph(rotated, timing, stream);
  if (!summary.ok()) return summary.status();
  result.graph_rotated = *summary;
  result.tflops = AttentionFlops(shape_) / (summary->median_us * kFlopsPerMicroPerTeraflops);
  if (!options_.only_graphs) {
    result.sm_clock_mhz = ReadDeviceState(device_).sm_clock_mhz;
    summary = TimeByEvents(rotated, timing, stream);
    if (!summary.ok()) return summary.status();
    result.events_rotated = *summary;
  }
  if (TensorBytes(shape_) > device_.l2_bytes / 2) return absl::OkStatus();
  summary = TimeByGraph(resident, timing, stream);
  if (!summary.ok()) return summary.status();
  result.graph_resident = *summary;
  return absl::OkStatus();
}

Result Workload::Measure(AttentionBackend& backend, const std::string& kernel, cudaStream_t stream) {
  Result result;
  result.shape = shape_;
  result.kernel = kernel;
  const auto failed = [&result](const absl::Status& status) {
    result.verdict = Verdict::kFailed;
    result.reason = std::string(status.message());
    return result;
  };
  const absl::Status supported = backend.CheckSupported(shape_);
  if (!supported.ok()) {
    result.verdict = Verdict::kUnsupported;
    result.reason = std::string(supported.message());
    return result;
  }
  const absl::StatusOr<std::vector<std::byte>> before = Run(backend, 0, stream);
  if (!before.ok()) return failed(before.status());
  Check(*before, result);
  if (result.verdict != Verdict::kCorrect) return result;
  const absl::Status timed = Time(backend, stream, result);
  if (!timed.ok()) return failed(timed);
  for (size_t set : {size_t{0}, sets_.size() - 1}) {
    const absl::StatusOr<std::vector<std::byte>> after = sets_.ReadOutput(set);
    if (!after.ok()) return failed(after.status());
    if (*after != *before) {
      result.verdict = Verdict::kWrong;
      result.reason = "the output changed between calls on the same input";
    }
  }
  return result;
}

}  // namespace flashcore::bench
