#include "server/engine/engine.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/cpu_engine.h"
#include "server/engine/passthrough.h"
#ifdef FLASHCORE_HAS_CUDA
#include "server/engine/cuda_engine.h"
#endif

namespace flashcore {

absl::StatusOr<std::unique_ptr<Engine>> CreateEngine(const EngineOptions& options) {
  if (options.arena_bytes <= 0) {
    return absl::InvalidArgumentError(absl::StrCat("arena_bytes must be > 0, is ", options.arena_bytes));
  }
  if (options.max_batch_bytes <= 0) {
    return absl::InvalidArgumentError(absl::StrCat("max_batch_bytes must be > 0, is ", options.max_batch_bytes));
  }
  if (options.backend.backend == kPassthroughBackend) return CreateCpuEngine(CreatePassthroughBackend(), options);
  absl::StatusOr<std::unique_ptr<AttentionBackend>> backend = CreateBackend(options.backend);
  if (!backend.ok()) return backend.status();
#ifdef FLASHCORE_HAS_CUDA
  if ((*backend)->info().device_memory) {
    return CreateCudaEngine(*std::move(backend), options);
  }
#endif
  return CreateCpuEngine(*std::move(backend), options);
}

}  // namespace flashcore
