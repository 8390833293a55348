// An engine without a device: its lanes stop in Run until the test lets them go.
#ifndef FLASHCORE_TESTS_SERVER_SCHEDULER_FAKE_ENGINE_H_
#define FLASHCORE_TESTS_SERVER_SCHEDULER_FAKE_ENGINE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/attention.h"
#include "kernels/base/mutex.h"
#include "server/engine/engine.h"

namespace flashcore {

// Every lane's batches, numbered from 0 in the order in which they start. Thread-safe.
class FakeDevice {
 public:
  using Batch = std::vector<AttentionProblem>;

  // Waits until batch `index` has started; returns its problems.
  Batch AwaitBatch(size_t index) {
    const MutexLock lock(mutex_);
    while (started_.size() <= index) changed_.Wait(mutex_);
    return started_[index];
  }

  size_t batches_started() {
    const MutexLock lock(mutex_);
    return started_.size();
  }

  // Batch `index`, started or not, ends with `result`.
  void Release(size_t index, absl::Status result = absl::OkStatus()) {
    const MutexLock lock(mutex_);
    results_[index] = std::move(result);
    changed_.NotifyAll();
  }

  // From here on nothing waits, and batches not released yet end with OK.
  void ReleaseAll() {
    const MutexLock lock(mutex_);
    free_running_ = true;
    changed_.NotifyAll();
  }

  absl::Status Run(absl::Span<const AttentionProblem> batch) {
    const MutexLock lock(mutex_);
    const size_t index = started_.size();
    started_.emplace_back(batch.begin(), batch.end());
    changed_.NotifyAll();
    while (!free_running_ && !results_.contains(index)) changed_.Wait(mutex_);
    const auto result = results_.find(index);
    return result == results_.end() ? absl::OkStatus() : result->second;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<Batch> started_ ABSL_GUARDED_BY(mutex_);
  std::map<size_t, absl::Status> results_ ABSL_GUARDED_BY(mutex_);
  bool free_running_ ABSL_GUARDED_BY(mutex_) = false;
};

// Takes every problem but those in bfloat16.
class FakeBackend : public AttentionBackend {
 public:
  FakeBackend() {
    info_.backend = "fake";
    info_.device = "none";
    info_.kernel = "fake/kernel";
  }
  void set_device_memory(bool device_memory) { info_.device_memory = device_memory; }
  const BackendInfo& info() const override { return info_; }
  absl::Status CheckSupported(const AttentionProblem& problem) const override {
    return problem.dtype == DType::kBFloat16 ? absl::UnimplementedError("no bf16 here") : absl::OkStatus();
  }
  absl::Status Launch(absl::Span<const AttentionProblem> /*problems*/, void* /*stream*/) override {
    return absl::InternalError("the scheduler launches through lanes only");
  }

 private:
  BackendInfo info_;
};

class FakeEngine : public Engine {
 public:
  static constexpr int64_t kUploadNs = 10;
  static constexpr int64_t kComputeNs = 20;
  static constexpr int64_t kDownloadNs = 30;

  explicit FakeEngine(std::shared_ptr<HostArena> arena) : arena_(std::move(arena)) {}

  FakeDevice& device() { return device_; }
  // Whether it passes for a GPU. Before the scheduler is made.
  void set_device_memory(bool device_memory) { backend_.set_device_memory(device_memory); }
  // CreateLane fails once it has made this many.
  void set_max_lanes(int max_lanes) { lanes_left_ = max_lanes; }

  const AttentionBackend& backend() const override { return backend_; }
  const std::shared_ptr<HostArena>& arena() const override { return arena_; }
  absl::StatusOr<std::unique_ptr<Lane>> CreateLane() override {
    if (lanes_left_-- == 0) return absl::ResourceExhaustedError("no memory for another lane");
    return std::make_unique<FakeLane>(device_);
  }

 private:
  class FakeLane : public Lane {
   public:
    explicit FakeLane(FakeDevice& device) : device_(device) {}
    absl::Status Run(absl::Span<const AttentionProblem> batch, StageTimes& times) override {
      absl::Status status = device_.Run(batch);
      times[Stage::kUpload] = kUploadNs;
      times[Stage::kCompute] = kComputeNs;
      times[Stage::kDownload] = kDownloadNs;
      return status;
    }

   private:
    FakeDevice& device_;
  };

  FakeBackend backend_;
  std::shared_ptr<HostArena> arena_;
  FakeDevice device_;
  int lanes_left_ = -1;  // Negative: no limit.
};

}  // namespace flashcore

#endif  // FLASHCORE_TESTS_SERVER_SCHEDULER_FAKE_ENGINE_H_
