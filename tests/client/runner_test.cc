// Both loops over a target that is no network: threads of the test answer, now or later, rightly or wrongly.
#include "client/load/runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "client/load/mix.h"
#include "client/load/verifier.h"
#include "client/load/workload.h"
#include "kernels/base/mutex.h"

namespace flashcore {
namespace {

using ::testing::HasSubstr;

constexpr size_t kPlentyWaiting = 1000;

Workload MakeWorkload(bool expected_answers) {
  return Workload::Create(ParseMix("1,1,2,8; 1,2,3,8 fp32 lse").value(),
                          {.variants = 2, .seed = 1, .expected_answers = expected_answers}, [](int, int) {})
      .value();
}

AttendResult RightAnswer(const PreparedRequest& request) {
  AttendResult answer;
  answer.o = Tensor::FromFloats(request.q.spec(), request.expected->o).value();
  answer.timing.total_ns = 1;
  answer.timing.batch_size = 3;
  return answer;
}

AttendResult AnyAnswer(const PreparedRequest& request) {
  AttendResult answer;
  answer.o = request.q;
  return answer;
}

// Runs what it is given on its own threads.
class Pool {
 public:
  explicit Pool(int threads) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
  }
  ~Pool() {
    Add(nullptr);
    for (std::thread& thread : threads_) thread.join();
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // nullptr: no more comes.
  void Add(absl::AnyInvocable<void()> work) {
    const MutexLock lock(mutex_);
    queue_.push_back(std::move(work));
    changed_.NotifyAll();
  }

 private:
  void Work() {
    for (;;) {
      absl::AnyInvocable<void()> work;
      {
        const MutexLock lock(mutex_);
        while (queue_.empty()) changed_.Wait(mutex_);
        if (!queue_.front()) return;
        work = std::move(queue_.front());
        queue_.pop_front();
      }
      work();
    }
  }

  Mutex mutex_;
  CondVar changed_;
  std::deque<absl::AnyInvocable<void()>> queue_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

using Answer = std::function<absl::StatusOr<AttendResult>(const PreparedRequest&)>;

CallOutcome ToOutcome(const CallPlan& plan, absl::StatusOr<AttendResult> answer) {
  CallOutcome outcome;
  outcome.status = answer.status();
  if (!answer.ok()) return outcome;
  outcome.timing = answer->timing;
  if (plan.keep_answer) outcome.answer = *std::move(answer);
  return outcome;
}

// Does what a test says.
class ScriptedTransport final : public Transport {
 public:
  using Script = std::function<void(const CallPlan&, Done)>;
  explicit ScriptedTransport(Script script) : script_(std::move(script)) {}
  void Start(const CallPlan& plan, Done done) override { script_(plan, std::move(done)); }

 private:
  const Script script_;
};

ScriptedTransport::Script OnThreads(Pool& pool, Answer answer) {
  return [&pool, answer = std::move(answer)](const CallPlan& plan, Transport::Done done) {
    pool.Add([plan, answer, done = std::move(done)]() mutable { done(ToOutcome(plan, answer(*plan.request))); });
  };
}

ScriptedTransport::Script OnTheSpot(Answer answer) {
  return [answer = std::move(answer)](const CallPlan& plan, Transport::Done done) {
    done(ToOutcome(plan, answer(*plan.request)));
  };
}

RunResult RunLoop(ScriptedTransport::Script script, const Workload& workload, Verifier* verifier,
                  const RunOptions& options) {
  ScriptedTransport transport(std::move(script));
  SteadyLoadClock clock;
  return Runner(transport, workload, verifier, options, clock).Run([](const RunProgress&) {});
}

// Answers the oldest call when `full` are waiting, and all of them once `total` have come.
class FullHouse {
 public:
  FullHouse(Pool& pool, size_t full, int total) : pool_(pool), full_(full), total_(total) {}

  void Start(const CallPlan& plan, Transport::Done done) {
    const MutexLock lock(mutex_);
    waiting_.emplace_back(plan, std::move(done));
    most_waiting_ = std::max(most_waiting_, waiting_.size());
    const bool last = ++started_ == total_;
    while (!waiting_.empty() && (last || waiting_.size() == full_)) {
      pool_.Add([call = std::move(waiting_.front())]() mutable {
        call.second(ToOutcome(call.first, AnyAnswer(*call.first.request)));
      });
      waiting_.pop_front();
    }
  }

  size_t most_waiting() {
    const MutexLock lock(mutex_);
    return most_waiting_;
  }

 private:
  Pool& pool_;
  const size_t full_;
  const int total_;
  Mutex mutex_;
  std::deque<std::pair<CallPlan, Transport::Done>> waiting_ ABSL_GUARDED_BY(mutex_);
  size_t most_waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  int started_ ABSL_GUARDED_BY(mutex_) = 0;
};

TEST(RunnerTest, NRequestsAreNAnswersAndAllSlotsWork) {
  // A call is only answered while all other slots wait: a loop with a slot too few would never end.
  const Workload workload = MakeWorkload(false);
  Pool pool(4);
  FullHouse house(pool, 8, 1000);
  const RunResult result =
      RunLoop([&house](const CallPlan& plan, Transport::Done done) { house.Start(plan, std::move(done)); }, workload,
              nullptr, {.concurrency = 8, .phases = {.requests = 1000}});
  EXPECT_EQ(result.stats.answered(), 1000);
  EXPECT_EQ(result.stats.failed(), 0);
  EXPECT_EQ(house.most_waiting(), 8);
  EXPECT_GT(result.elapsed, absl::ZeroDuration());
  EXPECT_GT(result.stats.flops, 0);
  EXPECT_FALSE(result.gave_up);
}

TEST(RunnerTest, AnswersOnTheSpotDoNotPileUpOnTheStack) {
  // A frame for each of these would overflow any stack.
  const Workload workload = MakeWorkload(false);
  const RunResult result =
      RunLoop(OnTheSpot(AnyAnswer), workload, nullptr, {.concurrency = 1, .phases = {.requests = 300'000}});
  EXPECT_EQ(result.stats.answered(), 300'000);
}

TEST(RunnerTest, ByTime) {
  const Workload workload = MakeWorkload(false);
  Pool pool(1);
  const RunResult result =
      RunLoop(OnThreads(pool, AnyAnswer), workload, nullptr,
              {.concurrency = 2, .phases = {.warmup = absl::Milliseconds(20), .duration = absl::Milliseconds(60)}});
  EXPECT_GT(result.stats.answered(), 0);
  EXPECT_GE(result.elapsed, absl::Milliseconds(1));
}

TEST(RunnerTest, ErrorsAreCountedByCodeAndDoNotSpin) {
  const Workload workload = MakeWorkload(false);
  std::atomic<int> calls = 0;
  const RunResult result = RunLoop(OnTheSpot([&calls](const PreparedRequest& request) -> absl::StatusOr<AttendResult> {
                                     const int call = ++calls;
                                     if (call % 4 == 1) return absl::ResourceExhaustedError("first full");
                                     if (call % 4 == 2) return absl::InternalError("broken");
                                     return AnyAnswer(request);
                                   }),
                                   workload, nullptr, {.concurrency = 2, .phases = {.requests = 20}});
  EXPECT_EQ(result.stats.answered() + result.stats.failed(), 20);
  EXPECT_EQ(result.stats.errors.total(absl::StatusCode::kResourceExhausted), 5);
  EXPECT_EQ(result.stats.errors.total(absl::StatusCode::kInternal), 5);
}

TEST(RunnerTest, GivesUpOnATargetThatOnlyFails) {
  const Workload workload = MakeWorkload(false);
  const RunResult result =
      RunLoop(OnTheSpot([](const PreparedRequest&) { return absl::UnavailableError("gone"); }), workload, nullptr,
              {.concurrency = 3, .phases = {.duration = absl::Hours(1), .give_up_after = absl::Milliseconds(50)}});
  EXPECT_TRUE(result.gave_up);
  EXPECT_GT(result.stats.failed(), 0);
  EXPECT_LT(result.stats.failed(), 100);
}

TEST(RunnerTest, StopEndsARunEarly) {
  const Workload workload = MakeWorkload(false);
  Pool pool(2);
  std::atomic<int> calls = 0;
  Runner* stop = nullptr;
  ScriptedTransport transport(OnThreads(pool, [&](const PreparedRequest& request) {
    if (++calls == 50) stop->Stop();
    return AnyAnswer(request);
  }));
  SteadyLoadClock clock;
  Runner runner(transport, workload, nullptr, {.concurrency = 4, .phases = {.duration = absl::Hours(1)}}, clock);
  stop = &runner;
  const RunResult result = runner.Run([](const RunProgress&) {});
  EXPECT_TRUE(result.stopped);
  EXPECT_GE(result.stats.answered(), 50);
}

TEST(RunnerTest, EveryAnswerIsVerifiedWhenAskedTo) {
  const Workload workload = MakeWorkload(true);
  Verifier verifier(2, kPlentyWaiting);
  Pool pool(2);
  const RunResult result = RunLoop(OnThreads(pool, RightAnswer), workload, &verifier,
                                   {.concurrency = 4, .phases = {.requests = 200}, .verify_fraction = 1});
  verifier.Flush();
  EXPECT_EQ(verifier.totals().checked, 200);
  EXPECT_EQ(verifier.totals().wrong, 0);
  EXPECT_LE(verifier.totals().max_share, 1);
  EXPECT_EQ(result.stats.server.batch_size, 600);
}

TEST(RunnerTest, AFullVerifierHoldsTheLoopBackAndLosesNothing) {
  const Workload workload = MakeWorkload(true);
  Verifier verifier(1, /*max_waiting=*/0);
  Pool pool(2);
  const RunResult result = RunLoop(OnThreads(pool, RightAnswer), workload, &verifier,
                                   {.concurrency = 8, .phases = {.requests = 300}, .verify_fraction = 1});
  verifier.Flush();
  EXPECT_EQ(result.stats.answered(), 300);
  EXPECT_EQ(result.stats.check_waits, 300);
  EXPECT_EQ(verifier.totals().checked, 300);
}

TEST(RunnerTest, SamplesAboutTheFractionAskedFor) {
  const Workload workload = MakeWorkload(true);
  Verifier verifier(1, kPlentyWaiting);
  RunLoop(OnTheSpot(RightAnswer), workload, &verifier,
          {.concurrency = 1, .phases = {.requests = 2000}, .verify_fraction = 0.25});
  verifier.Flush();
  EXPECT_NEAR(static_cast<double>(verifier.totals().checked), 500, 100);
}

TEST(RunnerTest, WrongAnswersAreCounted) {
  const Workload workload = MakeWorkload(true);
  Verifier verifier(1, kPlentyWaiting);
  std::atomic<int> calls = 0;
  RunLoop(OnTheSpot([&calls](const PreparedRequest& request) {
            return ++calls % 10 == 0 ? AnyAnswer(request) : RightAnswer(request);
          }),
          workload, &verifier, {.concurrency = 1, .phases = {.requests = 100}, .verify_fraction = 1});
  verifier.Flush();
  EXPECT_EQ(verifier.totals().checked, 100);
  EXPECT_EQ(verifier.totals().wrong, 10);
  EXPECT_GT(verifier.totals().max_share, 1);
  EXPECT_THAT(verifier.totals().first_wrong_answer, HasSubstr("should be"));
}

}  // namespace
}  // namespace flashcore
