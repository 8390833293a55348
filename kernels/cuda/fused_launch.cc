#include "kernels/cuda/fused_launch.h"

#include <algorithm>
#include <cassert>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "kernels/cuda/fused.h"

namespace flashcore::cuda {
namespace {

constexpr size_t kPartialBytes = kMaxPartialFloats * sizeof(float);
constexpr size_t kRegionBytes = kPartialBytes + kMaxArrivals * sizeof(uint32_t);

// Lets this thread allocate while a stream is being captured: nothing below is work on that stream.
class RelaxedCapture {
 public:
  RelaxedCapture() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~RelaxedCapture() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  RelaxedCapture(const RelaxedCapture&) = delete;
  RelaxedCapture& operator=(const RelaxedCapture&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

absl::StatusOr<DeviceMemory> AllocateRegion() {
  const RelaxedCapture relaxed;
  absl::StatusOr<DeviceMemory> region = AllocateDevice(kRegionBytes);
  if (!region.ok()) return region.status();
  const absl::StatusOr<Stream> stream = CreateStream();
  if (!stream.ok()) return stream.status();
  absl::Status status =
      ToStatus(cudaMemsetAsync(region->get(), 0, kRegionBytes, stream->get()), "clearing the memory for splits");
  if (!status.ok()) return status;
  status = ToStatus(cudaStreamSynchronize(stream->get()), "clearing the memory for splits");
  if (!status.ok()) return status;
  return region;
}

Element ElementOf(const AttentionProblem& problem) {
  return problem.dtype == DType::kFloat16 ? Element::kHalf : Element::kBfloat16;
}

// What the work of a problem's longest CTA is proportional to; the longest go first.
int64_t KeysPerCta(const AttentionProblem& problem, const FusedPlan& plan) {
  return plan.split_tiles() == plan.tiles() ? plan.keys_per_split : problem.kv_len;
}

}  // namespace

absl::StatusOr<SplitMemory::Region> SplitMemory::Get(cudaStream_t stream) {
  cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
  CaptureId capture = 0;
  const absl::Status status =
      ToStatus(cudaStreamGetCaptureInfo(stream, &capturing, &capture), "asking whether the stream is being captured");
  if (!status.ok()) return status;
  const MutexLock lock(mutex_);
  DeviceMemory& region = regions_[{stream, capturing == cudaStreamCaptureStatusNone ? 0 : capture}];
  if (region == nullptr) {
    if (regions_.size() > kMaxRegions) {
      regions_.erase({stream, capturing == cudaStreamCaptureStatusNone ? 0 : capture});
      return absl::ResourceExhaustedError("too many streams and captured graphs split tiles on this backend");
    }
    absl::StatusOr<DeviceMemory> allocated = AllocateRegion();
    if (!allocated.ok()) return allocated.status();
    region = *std::move(allocated);
  }
  std::byte* memory = region.get();
  return Region{reinterpret_cast<float*>(memory), reinterpret_cast<uint32_t*>(memory + kPartialBytes)};
}

absl::Status FusedLauncher::Load() {
  for (const int head_dim : kNativeHeadDims) {
    for (int kind = 0; kind < kTileKinds; ++kind) {
      for (const Element element : {Element::kHalf, Element::kBfloat16}) {
        const cudaError_t error = FindFusedKernel(head_dim, static_cast<TileKind>(kind), element).load();
        if (error != cudaSuccess) return ToStatus(error, "loading the fused kernels");
      }
    }
  }
  return absl::OkStatus();
}

FusedLauncher::FusedLauncher(const DeviceLimits& device, GridKind grid)
    : FusedLauncher(device, grid, [device](const AttentionProblem& problem) { return PlanFused(problem, device); }) {}

FusedLauncher::FusedLauncher(const DeviceLimits& device, GridKind grid, FusedPlanner planner)
    : device_(device), grid_(grid), planner_(std::move(planner)) {}

absl::StatusOr<FusedLaunches> FusedLauncher::Launch(absl::Span<const AttentionProblem> problems, cudaStream_t stream) {
  std::vector<Planned> planned;
  planned.reserve(problems.size());
  for (const AttentionProblem& problem : problems) planned.push_back({&problem, planner_(problem)});
  const auto kernel = [](const Planned& p) {
    return std::make_tuple(p.plan.head_dim, p.plan.kind, ElementOf(*p.problem));
  };
  std::stable_sort(planned.begin(), planned.end(), [&](const Planned& a, const Planned& b) {
    if (kernel(a) != kernel(b)) return kernel(a) < kernel(b);
    return KeysPerCta(*a.problem, a.plan) > KeysPerCta(*b.problem, b.plan);
  });
  FusedLaunches launches = {};
  for (size_t begin = 0; begin < planned.size();) {
    // As many of the same kernel as the memory for splits and the grid have room for.
    int64_t partials = 0;
    int64_t arrivals = 0;
    int64_t ctas = 0;
    size_t end = begin;
    for (; end < planned.size() && kernel(planned[end]) == kernel(planned[begin]); ++end) {
      const FusedPlan& plan = planned[end].plan;
      partials += plan.partial_floats();
      arrivals += plan.arrivals();
      ctas += plan.ctas();
      const bool room = partials <= kMaxPartialFloats && arrivals <= kMaxArrivals && ctas <= kMaxFusedLength;
      if (!room && end > begin) break;
      assert(room);
    }
    absl::Status status = LaunchAlike(absl::MakeConstSpan(planned).subspan(begin, end - begin), stream);
    if (!status.ok()) return status;
    ++launches[static_cast<size_t>(planned[begin].plan.kind)];
    begin = end;
  }
  return launches;
}

absl::Status FusedLauncher::LaunchAlike(absl::Span<const Planned> problems, cudaStream_t stream) {
  const FusedPlan& first = problems.front().plan;
  const bool splits = std::any_of(problems.begin(), problems.end(), [](const Planned& p) { return p.plan.splits > 1; });
  SplitMemory::Region region;
  if (splits) {
    absl::StatusOr<SplitMemory::Region> lent = split_memory_.Get(stream);
    if (!lent.ok()) return lent.status();
    region = *lent;
  }
  FusedBatch<kFullBatch> batch;
  batch.num_problems = static_cast<int32_t>(problems.size());
  batch.first_cta[0] = 0;
  for (size_t i = 0; i < problems.size(); ++i) {
    const FusedPlan& plan = problems[i].plan;
    FusedProblem& problem = batch.problems[i];
    problem = DescribeFused(*problems[i].problem, plan);
    if (plan.splits > 1) {
      problem.partials = region.partials;
      problem.arrivals = region.arrivals;
      region.partials += plan.partial_floats();
      region.arrivals += plan.arrivals();
    }
    batch.first_cta[i + 1] = batch.first_cta[i] + static_cast<int32_t>(plan.ctas());
  }
  const int ctas = batch.first_cta[problems.size()];
  const int grid = GridFor(first.tile(), ctas);
  const bool alike = problems.size() == 1 && !IsMasked(*problems.front().problem);
  batch.round_ctas = RoundCtas(first.tile(), device_, {.ctas = ctas, .grid = grid, .alike = alike});
  batch.by_round_ctas = MakeDivisor(batch.round_ctas);
  const FusedKernelEntry entry = FindFusedKernel(first.head_dim, first.kind, ElementOf(*problems.front().problem));
  return ToStatus(entry.launch(batch, grid, stream), "launching a fused kernel");
}

int FusedLauncher::GridFor(const TileConfig& tile, int ctas) const {
  return grid_ == GridKind::kTiles ? ctas : std::min(ctas, CtasAtOnce(tile, device_));
}

}  // namespace flashcore::cuda
