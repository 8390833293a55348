#include "client/load/workload.h"

#include <algorithm>
#include <atomic>
#include <new>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/mutex.h"

namespace flashcore {
namespace {

// A seed for each tensor, none of which collide within a run.
constexpr uint64_t kTensorsPerRequest = 3;

PreparedRequest Prepare(const MixEntry& entry, size_t index, uint64_t seed, bool expected_answer) {
  PreparedRequest request{.index = index,
                          .q = Tensor::Random(entry.QuerySpec(), seed),
                          .k = Tensor::Random(entry.KeyValueSpec(), seed + 1),
                          .v = Tensor::Random(entry.KeyValueSpec(), seed + 2),
                          .options = entry.options,
                          .priority = entry.priority.value_or(Priority::kNormal),
                          .expected = {}};
  request.bytes = static_cast<int64_t>(request.q.size_bytes() + request.k.size_bytes() + request.v.size_bytes());
  const absl::StatusOr<AttentionProblem> problem = ToProblem(request.q, request.k, request.v, entry.options);
  if (!problem.ok()) return request;
  request.flops = AttentionFlops(*problem);
  if (!expected_answer) return request;
  absl::StatusOr<ExpectedAnswer> expected = ComputeExpected(request.q, request.k, request.v, entry.options);
  if (expected.ok()) request.expected = *std::move(expected);
  return request;
}

// Counts finished work and reports it, one report at a time.
class Counter {
 public:
  Counter(int total, const std::function<void(int, int)>& report) : total_(total), report_(report) {}

  void Done() {
    const MutexLock lock(mutex_);
    report_(++done_, total_);
  }

 private:
  const int total_;
  const std::function<void(int, int)>& report_;
  Mutex mutex_;
  int done_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace

Workload::Workload(std::vector<MixEntry> mix, int variants)
    : mix_(std::move(mix)), variants_(static_cast<size_t>(variants)), requests_(mix_.size() * variants_) {
  double sum = 0;
  for (const MixEntry& entry : mix_) cumulative_weights_.push_back(sum += entry.weight);
}

absl::StatusOr<Workload> Workload::Create(std::vector<MixEntry> mix, const WorkloadOptions& options,
                                          const std::function<void(int, int)>& progress) {
  Workload workload(std::move(mix), options.variants);
  std::atomic<size_t> next = 0;
  std::atomic<bool> out_of_memory = false;
  Counter counter(static_cast<int>(workload.requests_.size()), progress);
  const auto work = [&] {
    for (size_t i = next++; i < workload.requests_.size() && !out_of_memory; i = next++) {
      try {
        workload.requests_[i] = Prepare(workload.mix_[i / workload.variants_], i, options.seed + i * kTensorsPerRequest,
                                        options.expected_answers);
      } catch (const std::bad_alloc&) {
        out_of_memory = true;
      }
      counter.Done();
    }
  };
  std::vector<std::thread> threads;
  for (int i = 1; i < options.threads; ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  if (out_of_memory) return absl::ResourceExhaustedError("the mix's tensors do not fit into memory");
  return workload;
}

const PreparedRequest& Workload::Pick(std::mt19937_64& random) const {
  std::uniform_real_distribution<double> weight(0, cumulative_weights_.back());
  const auto entry = std::upper_bound(cumulative_weights_.begin(), cumulative_weights_.end() - 1, weight(random));
  std::uniform_int_distribution<size_t> variant(0, variants_ - 1);
  return requests_[static_cast<size_t>(entry - cumulative_weights_.begin()) * variants_ + variant(random)];
}

int64_t Workload::total_bytes() const {
  int64_t total = 0;
  for (const PreparedRequest& request : requests_) total += request.bytes;
  return total;
}

}  // namespace flashcore
