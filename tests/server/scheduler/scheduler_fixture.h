// A scheduler over a fake engine and a simulated clock, and requests whose outcome a test can wait for.
#ifndef FLASHCORE_TESTS_SERVER_SCHEDULER_SCHEDULER_FIXTURE_H_
#define FLASHCORE_TESTS_SERVER_SCHEDULER_SCHEDULER_FIXTURE_H_

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/base/mutex.h"
#include "server/scheduler/scheduler.h"
#include "tests/server/scheduler/fake_engine.h"
#include "tests/server/telemetry/exposition.h"
#include "tests/server/telemetry/simulated_clock.h"

namespace flashcore {

// What `done` said. Thread-safe.
class Outcome {
 public:
  void Set(const absl::Status& status) {
    const MutexLock lock(mutex_);
    EXPECT_FALSE(status_.has_value()) << "done ran twice";
    status_ = status;
    changed_.NotifyAll();
  }
  absl::Status Wait() {
    const MutexLock lock(mutex_);
    while (!status_.has_value()) changed_.Wait(mutex_);
    return *status_;
  }
  bool is_set() {
    const MutexLock lock(mutex_);
    return status_.has_value();
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::optional<absl::Status> status_ ABSL_GUARDED_BY(mutex_);
};

// An admitted request, which reports to `outcome`.
struct Call {
  std::shared_ptr<Request> request;
  std::shared_ptr<Outcome> outcome = std::make_shared<Outcome>();

  absl::StatusCode Wait() const { return outcome->Wait().code(); }
};

class SchedulerFixture : public testing::Test {
 protected:
  // Q, K, V and O of Problem, each kTensorBytes; the fixture tells problems apart by their kv_len, which does not
  // change a tensor's rounded size.
  static constexpr int64_t kTensorBytes = HostArena::kAlignment;
  static constexpr int64_t kProblemBytes = 4 * kTensorBytes;
  static constexpr size_t kArenaBytes = 1 << 20;

  static AttentionProblem Problem(int64_t kv_len = 1) {
    AttentionProblem problem;
    problem.batch = problem.num_qo_heads = problem.num_kv_heads = problem.q_len = 1;
    problem.kv_len = kv_len;
    problem.head_dim = 8;
    problem.options.sm_scale = DefaultScale(problem.head_dim);
    return problem;
  }

  static ServerFacts TwoDevices() {
    ServerFacts facts;
    facts.devices = {0, 1};
    return facts;
  }

  // Tests that end early must not leave a lane waiting for the device.
  ~SchedulerFixture() override { engine_.device().ReleaseAll(); }

  void Start(SchedulerOptions options = {}) {
    absl::StatusOr<std::unique_ptr<Scheduler>> scheduler =
        Scheduler::Create(engines_, options, metrics_, clock_, [this](const absl::Status& status) {
          EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
          ++faults_;
        });
    ASSERT_TRUE(scheduler.ok()) << scheduler.status();
    scheduler_ = *std::move(scheduler);
  }

  Call Admit(const AttentionProblem& problem = Problem(), const RequestTerms& terms = {}) {
    Call call;
    absl::StatusOr<std::shared_ptr<Request>> request = scheduler_->Admit(problem, /*want_lse=*/false, terms);
    EXPECT_TRUE(request.ok()) << request.status();
    call.request = *std::move(request);
    call.request->done = [outcome = call.outcome](const absl::Status& status) { outcome->Set(status); };
    return call;
  }

  Call Submit(const AttentionProblem& problem = Problem(), const RequestTerms& terms = {}) {
    Call call = Admit(problem, terms);
    scheduler_->Submit(call.request);
    return call;
  }

  // Submits a request and waits until it occupies a lane as batch `index`.
  Call Occupy(size_t index = 0) {
    Call call = Submit();
    engine_.device().AwaitBatch(index);
    return call;
  }

  absl::Status AdmitError(const AttentionProblem& problem = Problem(), const RequestTerms& terms = {}) {
    return scheduler_->Admit(problem, /*want_lse=*/false, terms).status();
  }

  static std::vector<int64_t> KvLens(const FakeDevice::Batch& batch) {
    std::vector<int64_t> kv_lens;
    for (const AttentionProblem& problem : batch) kv_lens.push_back(problem.kv_len);
    return kv_lens;
  }

  double Metric(const std::string& name) const { return SampleValue(metrics_.ExpositionText(), name); }
  double Rejections(const std::string& reason) const {
    return Metric(absl::StrCat("flashcore_rejections_total{reason=\"", reason, "\"}"));
  }

  // Waits for idleness, and expects every gauge at 0. Requests must have been dropped.
  void ExpectNothingLeft() {
    EXPECT_TRUE(scheduler_->WaitIdle(kNoDeadlineNs));
    for (const char* gauge : {"flashcore_requests_in_flight", "flashcore_queue_length", "flashcore_lanes_busy",
                              "flashcore_in_flight_bytes"}) {
      EXPECT_EQ(Metric(gauge), 0) << gauge;
    }
  }

  // The scheduler's engines; more may be added before Start.
  std::vector<Engine*> engines_ = {&engine_};
  FakeEngine engine_{*HostArena::CreatePageable(kArenaBytes)};
  Metrics metrics_{TwoDevices()};
  SimulatedClock clock_;
  std::atomic<int> faults_ = 0;
  std::unique_ptr<Scheduler> scheduler_;
};

}  // namespace flashcore

#endif  // FLASHCORE_TESTS_SERVER_SCHEDULER_SCHEDULER_FIXTURE_H_
