#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/attention.h"
#include "kernels/backends.h"
#include "kernels/cpu/attention_kernel.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/cpu/row_tiles.h"
#include "kernels/cpu/thread_pool.h"

namespace flashcore {
namespace {

using cpu::RowTiling;
using cpu::Scratch;

// More would need a wider worker count in the pool, and no machine has them.
constexpr int kMaxThreads = 1024;

// The tasks of a whole batch in one sequence, so that every thread can take the next one, whoever's it is.
class BatchTasks {
 public:
  explicit BatchTasks(absl::Span<const AttentionProblem> problems) : problems_(problems) {
    for (size_t i = 0; i < problems.size(); ++i) {
      tilings_[i] = RowTiling(problems[i]);
      first_task_[i + 1] = first_task_[i] + tilings_[i].num_tasks();
    }
  }

  int64_t size() const { return first_task_[problems_.size()]; }

  void Run(const cpu::Kernel& kernel, int64_t task, Scratch& scratch) const {
    const auto* const end = first_task_.begin() + problems_.size() + 1;
    const size_t i = static_cast<size_t>(std::upper_bound(first_task_.begin(), end, task) - first_task_.begin()) - 1;
    kernel.run_task(problems_[i], tilings_[i], task - first_task_[i], scratch);
  }

 private:
  absl::Span<const AttentionProblem> problems_;
  std::array<RowTiling, kMaxBatchProblems> tilings_;
  std::array<int64_t, kMaxBatchProblems + 1> first_task_{};
};

class CpuBackend final : public AttentionBackend {
 public:
  explicit CpuBackend(int num_threads) : kernel_(cpu::ChooseKernel()), pool_(num_threads) {
    for (int i = 0; i < num_threads; ++i) scratch_.push_back(std::make_unique<Scratch>());
    info_.backend = "cpu";
    info_.device = cpu::CpuModelName();
    info_.kernel = absl::StrCat("cpu/", kernel_.target);
    info_.dtypes = {DType::kFloat16, DType::kBFloat16, DType::kFloat32};
    info_.num_threads = num_threads;
    launch_counts_ = std::make_shared<LaunchCounts>(std::vector<std::string>{info_.kernel});
  }

  const BackendInfo& info() const override { return info_; }

  absl::Status CheckSupported(const AttentionProblem&) const override { return absl::OkStatus(); }

  absl::Status Launch(absl::Span<const AttentionProblem> problems, void*) override {
    assert(problems.size() <= kMaxBatchProblems);
    assert(std::all_of(problems.begin(), problems.end(),
                       [](const AttentionProblem& problem) { return ValidateProblem(problem).ok(); }));
    const BatchTasks tasks(problems);
    if (tasks.size() == 0) return absl::OkStatus();
    launch_counts_->Add(0, 1);
    std::atomic<int64_t> next_task{0};
    pool_.Run([&](int thread) {
      Scratch& scratch = *scratch_[static_cast<size_t>(thread)];
      for (int64_t task = next_task.fetch_add(1, std::memory_order_relaxed); task < tasks.size();
           task = next_task.fetch_add(1, std::memory_order_relaxed)) {
        tasks.Run(kernel_, task, scratch);
      }
    });
    return absl::OkStatus();
  }

  std::shared_ptr<const LaunchCounts> launch_counts() const override { return launch_counts_; }

 private:
  const cpu::Kernel kernel_;
  BackendInfo info_;
  std::shared_ptr<LaunchCounts> launch_counts_;
  std::vector<std::unique_ptr<Scratch>> scratch_;  // One for each of the pool's indices.
  cpu::ThreadPool pool_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<AttentionBackend>> CreateCpuBackend(int num_threads) {
  if (num_threads < 0 || num_threads > kMaxThreads) {
    return absl::InvalidArgumentError(
        absl::StrCat("num_threads is ", num_threads, "; it must be between 0 (one for each CPU) and ", kMaxThreads));
  }
  return std::make_unique<CpuBackend>(num_threads == 0 ? cpu::AllowedCpus() : num_threads);
}

}  // namespace flashcore
