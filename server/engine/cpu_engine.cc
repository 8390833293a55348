#include "server/engine/cpu_engine.h"

#include <chrono>
#include <cstddef>
#include <utility>

namespace flashcore {
namespace {

class CpuLane final : public Lane {
 public:
  explicit CpuLane(AttentionBackend& backend) : backend_(backend) {}

  absl::Status Run(absl::Span<const AttentionProblem> batch, StageTimes& times) override {
    const auto start = std::chrono::steady_clock::now();
    absl::Status status = backend_.Launch(batch, /*stream=*/nullptr);
    const auto elapsed = std::chrono::steady_clock::now() - start;
    times[Stage::kCompute] = std::chrono::duration_cast<std::chrono::nanoseconds>(elapsed).count();
    return status;
  }

 private:
  AttentionBackend& backend_;
};

class CpuEngine final : public Engine {
 public:
  CpuEngine(std::unique_ptr<AttentionBackend> backend, std::shared_ptr<HostArena> arena)
      : backend_(std::move(backend)), arena_(std::move(arena)) {}

  const AttentionBackend& backend() const override { return *backend_; }
  const std::shared_ptr<HostArena>& arena() const override { return arena_; }
  absl::StatusOr<std::unique_ptr<Lane>> CreateLane() override { return std::make_unique<CpuLane>(*backend_); }

 private:
  const std::unique_ptr<AttentionBackend> backend_;
  const std::shared_ptr<HostArena> arena_;
};

}  // namespace

std::unique_ptr<Engine> CreateCpuEngine(std::unique_ptr<AttentionBackend> backend, std::shared_ptr<HostArena> arena) {
  return std::make_unique<CpuEngine>(std::move(backend), std::move(arena));
}

}  // namespace flashcore
