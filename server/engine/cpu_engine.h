// The engine of every backend that computes in host memory: nothing to upload, nothing to download.
#ifndef FLASHCORE_SERVER_ENGINE_CPU_ENGINE_H_
#define FLASHCORE_SERVER_ENGINE_CPU_ENGINE_H_

#include <memory>

#include "kernels/attention.h"
#include "server/engine/engine.h"

namespace flashcore {

// `backend` computes in host memory (info().device_memory is false). Lanes hold nothing and launch on the backend
// directly, so that `compute` is the only stage they time.
std::unique_ptr<Engine> CreateCpuEngine(std::unique_ptr<AttentionBackend> backend, std::shared_ptr<HostArena> arena);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_ENGINE_CPU_ENGINE_H_
