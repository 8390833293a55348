// A busy scheduler over a host engine takes nothing from the heap.
#include <cstdlib>
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/base/mutex.h"
#include "server/engine/cpu_engine.h"
#include "server/engine/passthrough.h"
#include "server/scheduler/scheduler.h"
#include "tests/server/scheduler/allocation_counter.h"

namespace flashcore {
namespace {

class Countdown {
 public:
  void Start(int count) {
    const MutexLock lock(mutex_);
    left_ = count;
  }
  void Done() {
    const MutexLock lock(mutex_);
    if (--left_ == 0) zero_.NotifyAll();
  }
  void Wait() {
    const MutexLock lock(mutex_);
    while (left_ > 0) zero_.Wait(mutex_);
  }

 private:
  Mutex mutex_;
  CondVar zero_;
  int left_ ABSL_GUARDED_BY(mutex_) = 0;
};

AttentionProblem SmallProblem(int64_t kv_len) {
  AttentionProblem problem;
  problem.batch = problem.num_qo_heads = problem.num_kv_heads = problem.q_len = 1;
  problem.kv_len = kv_len;
  problem.head_dim = 8;
  problem.options.sm_scale = DefaultScale(problem.head_dim);
  return problem;
}

// Requests of every priority, of several connections, with and without deadlines, of several sizes.
void SubmitRound(Scheduler& scheduler, std::vector<std::shared_ptr<Request>>& requests, Countdown& countdown) {
  constexpr int kRequests = 60;
  countdown.Start(kRequests);
  for (int i = 0; i < kRequests; ++i) {
    const RequestTerms terms = {.deadline_ns = i % 2 == 0 ? kNoDeadlineNs : kNoDeadlineNs - i,
                                .priority = static_cast<Priority>(i % 3),
                                .connection = static_cast<uint64_t>(i % 5)};
    absl::StatusOr<std::shared_ptr<Request>> request = scheduler.Admit(SmallProblem(1 + i * 10), i % 2 == 0, terms);
    if (!request.ok()) std::abort();
    (*request)->done = [&countdown](const absl::Status& /*status*/) { countdown.Done(); };
    requests.push_back(*request);
  }
  for (const std::shared_ptr<Request>& request : requests) scheduler.Submit(request);
  countdown.Wait();
  requests.clear();
}

TEST(AllocationTest, ABusySchedulerTakesNothingFromTheHeap) {
  const std::unique_ptr<Engine> engine =
      CreateCpuEngine(CreatePassthroughBackend(), *HostArena::CreatePageable(16 << 20));
  Metrics metrics({});
  Engine* const engines[] = {engine.get()};
  auto scheduler =
      Scheduler::Create(engines, {.lanes = 2, .max_batch_requests = 8}, metrics, SteadyClock(), [](const auto&) {});
  ASSERT_TRUE(scheduler.ok()) << scheduler.status();
  std::vector<std::shared_ptr<Request>> requests;
  Countdown countdown;
  constexpr int kWarmUpRounds = 200;
  constexpr int kRounds = 500;
  for (int i = 0; i < kWarmUpRounds; ++i) SubmitRound(**scheduler, requests, countdown);
  const int64_t before = testing::CountAllocations();
  for (int i = 0; i < kRounds; ++i) SubmitRound(**scheduler, requests, countdown);
  EXPECT_TRUE((*scheduler)->WaitIdle(kNoDeadlineNs));
  // A pool may grow once more where threads meet as they never did before; 30,000 requests are not a handful.
  EXPECT_LE(testing::CountAllocations() - before, 10);
}

}  // namespace
}  // namespace flashcore
