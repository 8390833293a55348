#include "server/engine/engine.h"

#include <algorithm>
#include <cstddef>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/cpu_engine.h"
#include "server/engine/passthrough.h"
#ifdef FLASHCORE_HAS_CUDA
#include "server/engine/cuda_engine.h"
#endif

namespace flashcore {

namespace {

absl::Status CheckOptions(const EngineOptions& options) {
  if (options.devices.empty()) return absl::InvalidArgumentError("devices must not be empty");
  if (options.arena_bytes <= 0) {
    return absl::InvalidArgumentError(absl::StrCat("arena_bytes must be > 0, is ", options.arena_bytes));
  }
  if (options.max_batch_bytes <= 0) {
    return absl::InvalidArgumentError(absl::StrCat("max_batch_bytes must be > 0, is ", options.max_batch_bytes));
  }
  return absl::OkStatus();
}

// The options of one of the engines.
BackendOptions BackendOptionsOf(const EngineOptions& options, int device) {
  BackendOptions backend = options.backend;
  backend.device_ordinal = device;
  if (options.devices.size() > 1 && backend.num_threads == 0) {
    const auto cpus = static_cast<int>(std::thread::hardware_concurrency());
    backend.num_threads = std::max(1, cpus / static_cast<int>(options.devices.size()));
  }
  return backend;
}

absl::StatusOr<std::unique_ptr<AttentionBackend>> CreateAnyBackend(const BackendOptions& options) {
  if (options.backend == kPassthroughBackend) return CreatePassthroughBackend();
  return CreateBackend(options);
}

absl::StatusOr<std::shared_ptr<HostArena>> CreateArena(const EngineOptions& options, bool device_memory) {
  const auto capacity_bytes = static_cast<size_t>(options.arena_bytes);
#ifdef FLASHCORE_HAS_CUDA
  if (device_memory) return CreatePinnedArena(capacity_bytes);
#else
  static_cast<void>(device_memory);
#endif
  return HostArena::CreatePageable(capacity_bytes);
}

std::unique_ptr<Engine> CreateEngine(const EngineOptions& options, int device,
                                     std::unique_ptr<AttentionBackend> backend, std::shared_ptr<HostArena> arena) {
#ifdef FLASHCORE_HAS_CUDA
  if (backend->info().device_memory) {
    return CreateCudaEngine(std::move(backend), std::move(arena), device, options.max_batch_bytes,
                            options.lane_poll_ns);
  }
#else
  static_cast<void>(options);
  static_cast<void>(device);
#endif
  return CreateCpuEngine(std::move(backend), std::move(arena));
}

}  // namespace

absl::StatusOr<std::vector<std::unique_ptr<Engine>>> CreateEngines(const EngineOptions& options) {
  absl::Status status = CheckOptions(options);
  if (!status.ok()) return status;
  std::shared_ptr<HostArena> arena;
  std::vector<std::unique_ptr<Engine>> engines;
  for (const int device : options.devices) {
    absl::StatusOr<std::unique_ptr<AttentionBackend>> backend = CreateAnyBackend(BackendOptionsOf(options, device));
    if (!backend.ok()) return backend.status();
    if (arena == nullptr) {
      absl::StatusOr<std::shared_ptr<HostArena>> created = CreateArena(options, (*backend)->info().device_memory);
      if (!created.ok()) return created.status();
      arena = *std::move(created);
    }
    engines.push_back(CreateEngine(options, device, *std::move(backend), arena));
  }
  return engines;
}

}  // namespace flashcore
