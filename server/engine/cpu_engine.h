// The engine of every backend that computes in host memory: nothing to upload, nothing to download.
#ifndef FLASHCORE_SERVER_ENGINE_CPU_ENGINE_H_
#define FLASHCORE_SERVER_ENGINE_CPU_ENGINE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "kernels/attention.h"
#include "server/engine/engine.h"

namespace flashcore {

// `backend` computes in host memory (info().device_memory is false). The arena is pageable; lanes hold nothing and
// launch on the backend directly, so that `compute` is the only stage they time.
// RESOURCE_EXHAUSTED for want of memory.
absl::StatusOr<std::unique_ptr<Engine>> CreateCpuEngine(std::unique_ptr<AttentionBackend> backend,
                                                        const EngineOptions& options);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_ENGINE_CPU_ENGINE_H_
