// Runs batches on the fused kernels: groups problems by kernel, orders them longest first, lends them memory for
// splits.
#ifndef FLASHCORE_KERNELS_CUDA_FUSED_LAUNCH_H_
#define FLASHCORE_KERNELS_CUDA_FUSED_LAUNCH_H_

#include <cuda_runtime_api.h>

#include <array>
#include <functional>
#include <map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/attention.h"
#include "kernels/base/mutex.h"
#include "kernels/cuda/fused_plan.h"
#include "kernels/cuda/fused_tiles.h"
#include "kernels/cuda/runtime.h"

namespace flashcore::cuda {

// Where CTAs that split a tile's keys leave their shares: one region for each stream, since launches on a stream come
// one after the other, and one for each graph capture, since a graph may be replayed on any stream. A graph must not
// run beside itself, nor a stream's handle be reused while the old stream's work still runs. Thread-safe.
class SplitMemory {
 public:
  // Bounds the streams and captures that may split.
  static constexpr size_t kMaxRegions = 64;

  struct Region {
    float* partials = nullptr;     // kMaxPartialFloats.
    uint32_t* arrivals = nullptr;  // kMaxArrivals; 0 whenever no launch runs.
  };

  // The stream's region, allocated on its first use. Works within a capture.
  absl::StatusOr<Region> Get(cudaStream_t stream);

 private:
  using CaptureId = unsigned long long;            // NOLINT(google-runtime-int): the runtime's type for it.
  using Key = std::pair<cudaStream_t, CaptureId>;  // 0 outside of captures.

  Mutex mutex_;
  std::map<Key, DeviceMemory> regions_ ABSL_GUARDED_BY(mutex_);
};

enum class GridKind {
  kTiles,       // A CTA for each tile.
  kPersistent,  // As many CTAs as the device holds, which take tiles until there are none.
};

// Plans a problem; pure and thread-safe, or the launcher is not either.
using FusedPlanner = std::function<FusedPlan(const AttentionProblem&)>;

// How many launches something took, by TileKind.
using FusedLaunches = std::array<int, kTileKinds>;

// Thread-safe.
class FusedLauncher {
 public:
  // Plans with PlanFused. How many CTAs of GridKind::kPersistent a multiprocessor holds, the tiles' configurations say.
  FusedLauncher(const DeviceLimits& device, GridKind grid);
  // Plans with `planner`.
  FusedLauncher(const DeviceLimits& device, GridKind grid, FusedPlanner planner);

  // Loads every kernel onto the current device.
  static absl::Status Load();

  // Enqueues at most kFullBatch problems that FusedSupports and that have rows, on the current device: one launch for
  // those that the same kernel runs, unless they split more than there is memory for.
  absl::StatusOr<FusedLaunches> Launch(absl::Span<const AttentionProblem> problems, cudaStream_t stream);

 private:
  struct Planned {
    const AttentionProblem* problem;
    FusedPlan plan;
  };

  absl::Status LaunchAlike(absl::Span<const Planned> problems, cudaStream_t stream);
  int GridFor(const TileConfig& tile, int ctas) const;

  const DeviceLimits device_;
  const GridKind grid_;
  const FusedPlanner planner_;
  SplitMemory split_memory_;
};

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_FUSED_LAUNCH_H_
