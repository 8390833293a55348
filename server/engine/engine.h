// A backend, the staging memory that its device can reach, and lanes that carry batches through upload, compute and
// download. One engine per device; the engines of a server share one arena.
#ifndef FLASHCORE_SERVER_ENGINE_ENGINE_H_
#define FLASHCORE_SERVER_ENGINE_ENGINE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/attention.h"
#include "server/engine/host_arena.h"
#include "server/telemetry/stage.h"

namespace flashcore {

// One batch at a time on the device: a stream, a device arena and events, or nothing at all for a CPU.
// Used by one thread at a time. Different lanes of an engine overlap.
class Lane {
 public:
  virtual ~Lane() = default;

  // Computes the batch, whose pointers all lie in blocks of the engine's arena, and blocks until O and LSE are there.
  // At most kMaxBatchProblems, each valid and supported, tensors contiguous in BHSD or BSHD order, together at most
  // EngineOptions::max_batch_bytes. Fills upload, compute and download of `times`; 0 for what there was no need to do.
  // INTERNAL: the device failed; the lane is of no further use.
  virtual absl::Status Run(absl::Span<const AttentionProblem> batch, StageTimes& times) = 0;
};

// Thread-safe.
class Engine {
 public:
  virtual ~Engine() = default;

  virtual const AttentionBackend& backend() const = 0;
  virtual const std::shared_ptr<HostArena>& arena() const = 0;
  // Takes the lane's resources. Lanes must not outlive the engine. RESOURCE_EXHAUSTED: not enough device memory.
  virtual absl::StatusOr<std::unique_ptr<Lane>> CreateLane() = 0;
};

struct EngineOptions {
  // CreateBackend's, and kPassthroughBackend. Its device_ordinal is not read.
  BackendOptions backend;
  // One engine each: GPUs as BackendOptions::device_ordinal counts them. A backend that computes in host memory runs as
  // many engines as there are numbers, which then share the CPUs unless backend.num_threads says otherwise.
  std::vector<int> devices = {0};
  // Staging memory for all admitted requests, in and out.
  int64_t arena_bytes = int64_t{1} << 30;
  // Greatest sum of tensor bytes, in and out, of one batch; sizes each lane's device arena.
  int64_t max_batch_bytes = int64_t{256} << 20;
  // How long a lane looks out for the end of its batch on a GPU before it sleeps.
  int64_t lane_poll_ns = 0;
};

// In the order of options.devices. All have the same arena, so that a request can be staged before it is known which
// engine computes it. Errors as CreateBackend, INVALID_ARGUMENT for no devices or a size that is not positive,
// RESOURCE_EXHAUSTED for want of memory.
absl::StatusOr<std::vector<std::unique_ptr<Engine>>> CreateEngines(const EngineOptions& options);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_ENGINE_ENGINE_H_
