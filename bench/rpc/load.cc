#include "bench/rpc/load.h"

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "bench/rpc/requests.h"
#include "kernels/base/mutex.h"

namespace flashcore::bench {
namespace {

constexpr double kNsPerUs = 1e3;
constexpr double kP50 = 0.5;
constexpr double kP99 = 0.99;

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// The measured part, on the steady clock.
struct Window {
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
};

// What one worker saw. Its own thread's at any time, and the caller's once the worker has ended.
struct Tally {
  std::vector<double> latencies_us;
  int64_t failed = 0;
  std::string first_error;

  void Fail(std::string error) {
    if (failed++ == 0) first_error = std::move(error);
  }
};

// Counts workers down to none.
class Latch {
 public:
  explicit Latch(int workers) : workers_(workers) {}

  void CountDown() {
    const MutexLock lock(mutex_);
    if (--workers_ == 0) ended_.NotifyAll();
  }
  void Wait() {
    const MutexLock lock(mutex_);
    while (workers_ > 0) ended_.Wait(mutex_);
  }

 private:
  Mutex mutex_;
  CondVar ended_;
  int workers_ ABSL_GUARDED_BY(mutex_);
};

// What the workers of one measurement share.
struct Run {
  Target& target;
  const Exchange& exchange;
  const Window window;
  Latch latch;

  // True if the loop goes on.
  bool Note(int64_t sent_ns, Tally& tally) const {
    const int64_t now_ns = NowNs();
    if (now_ns >= window.begin_ns && now_ns < window.end_ns) {
      tally.latencies_us.push_back(static_cast<double>(now_ns - sent_ns) / kNsPerUs);
    }
    return now_ns < window.end_ns;
  }
};

// A part of the load that proceeds by itself.
class Worker {
 public:
  virtual ~Worker() = default;
  virtual void Start() = 0;

  const Tally& tally() const { return tally_; }

 protected:
  Tally tally_;
};

// One request after the other.
class UnaryWorker final : public Worker {
 public:
  UnaryWorker(Run& run, int channel) : run_(run), stub_(run.target.stub(channel)), request_(run.exchange.request) {}

  void Start() override {
    context_.emplace();
    response_.Clear();
    sent_ns_ = NowNs();
    stub_.UnaryCall(&*context_, "/flashcore.v1.AttentionService/Attend", grpc::StubOptions(), &request_, &response_,
                    [this](const grpc::Status& status) { OnAnswer(status); });
  }

 private:
  void OnAnswer(const grpc::Status& status) {
    if (!status.ok() || response_.Length() < run_.exchange.least_answer_bytes) {
      tally_.Fail(status.ok() ? absl::StrCat("an answer of ", response_.Length(), " bytes")
                              : absl::StrCat(status.error_code(), ": ", status.error_message()));
      run_.latch.CountDown();
    } else if (run_.Note(sent_ns_, tally_)) {
      Start();
    } else {
      run_.latch.CountDown();
    }
  }

  Run& run_;
  Target::Stub& stub_;
  const grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
  std::optional<grpc::ClientContext> context_;
  int64_t sent_ns_ = 0;
};

// One stream with `depth` requests unanswered. Ids are 1 to depth: each is sent again when it is answered.
class StreamWorker final : public Worker, private grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  StreamWorker(Run& run, int channel, int depth) : run_(run), stub_(run.target.stub(channel)) {
    for (int i = 0; i < depth; ++i) {
      slots_.push_back({.request = EncodeStreamRequest(static_cast<uint64_t>(i) + 1, run.exchange.request)});
    }
  }

  void Start() override {
    stub_.PrepareBidiStreamingCall(&context_, "/flashcore.v1.AttentionService/AttendStream", grpc::StubOptions(), this);
    StartRead(&answer_);
    {
      const MutexLock lock(mutex_);
      unanswered_ = slots_.size();
      for (size_t i = 0; i < slots_.size(); ++i) unsent_.push_back(i);
      Advance();
    }
    StartCall();
  }

 private:
  struct Slot {
    grpc::ByteBuffer request;
    int64_t sent_ns = 0;
  };

  void OnWriteDone(bool ok) override {
    const MutexLock lock(mutex_);
    writing_ = false;
    if (ok) Advance();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    const std::optional<uint64_t> id = LeadingId(answer_);
    const bool known = id.has_value() && *id >= 1 && *id <= slots_.size();
    const size_t answer_bytes = answer_.Length();
    const bool good = known && answer_bytes >= run_.exchange.least_answer_bytes;
    {
      const MutexLock lock(mutex_);
      if (good && run_.Note(slots_[*id - 1].sent_ns, tally_)) {
        unsent_.push_back(*id - 1);
      } else {
        --unanswered_;
      }
      Advance();
    }
    if (!good) tally_.Fail(absl::StrCat("an answer of ", answer_bytes, " bytes"));
    answer_.Clear();
    StartRead(&answer_);
  }

  void OnDone(const grpc::Status& status) override {
    if (!status.ok()) tally_.Fail(absl::StrCat(status.error_code(), ": ", status.error_message()));
    run_.latch.CountDown();
  }

  void Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!writing_ && !unsent_.empty()) {
      Slot& slot = slots_[unsent_.front()];
      unsent_.pop_front();
      writing_ = true;
      slot.sent_ns = NowNs();
      StartWrite(&slot.request);
    }
    if (unanswered_ == 0 && !half_closed_) {
      half_closed_ = true;
      StartWritesDone();
    }
  }

  Run& run_;
  Target::Stub& stub_;
  grpc::ClientContext context_;
  grpc::ByteBuffer answer_;

  Mutex mutex_;
  std::vector<Slot> slots_;  // Not resized; a slot's time is under the mutex.
  std::deque<size_t> unsent_ ABSL_GUARDED_BY(mutex_);
  size_t unanswered_ ABSL_GUARDED_BY(mutex_) = 0;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool half_closed_ ABSL_GUARDED_BY(mutex_) = false;
};

std::vector<std::unique_ptr<Worker>> MakeWorkers(Run& run, const Case& c) {
  std::vector<std::unique_ptr<Worker>> workers;
  if (c.shape == CallShape::kUnary) {
    for (int i = 0; i < c.concurrency; ++i) workers.push_back(std::make_unique<UnaryWorker>(run, i % c.channels));
  } else {
    const int depth = c.concurrency / c.channels;
    for (int i = 0; i < c.channels; ++i) workers.push_back(std::make_unique<StreamWorker>(run, i, depth));
  }
  return workers;
}

Sample Collect(const std::vector<std::unique_ptr<Worker>>& workers, absl::Duration duration) {
  Sample sample;
  std::vector<double> latencies_us;
  for (const std::unique_ptr<Worker>& worker : workers) {
    const Tally& tally = worker->tally();
    latencies_us.insert(latencies_us.end(), tally.latencies_us.begin(), tally.latencies_us.end());
    if (sample.failed == 0) sample.first_error = tally.first_error;
    sample.failed += tally.failed;
  }
  sample.answered = static_cast<int64_t>(latencies_us.size());
  sample.requests_per_s = static_cast<double>(sample.answered) / absl::ToDoubleSeconds(duration);
  sample.p50_us = Quantile(latencies_us, kP50);
  sample.p99_us = Quantile(std::move(latencies_us), kP99);
  return sample;
}

}  // namespace

Sample Measure(Target& target, const Case& c, const Exchange& exchange, const LoadTimes& times) {
  const int64_t begin_ns = NowNs() + absl::ToInt64Nanoseconds(times.warmup);
  const int64_t end_ns = begin_ns + absl::ToInt64Nanoseconds(times.duration);
  Run run{.target = target,
          .exchange = exchange,
          .window = {.begin_ns = begin_ns, .end_ns = end_ns},
          .latch = Latch(c.shape == CallShape::kUnary ? c.concurrency : c.channels)};
  const std::vector<std::unique_ptr<Worker>> workers = MakeWorkers(run, c);
  for (const std::unique_ptr<Worker>& worker : workers) worker->Start();
  absl::SleepFor(times.warmup);
  const std::optional<int64_t> cpu_begin_ns = target.ServerCpuNs();
  absl::SleepFor(absl::Nanoseconds(end_ns - NowNs()));
  const std::optional<int64_t> cpu_end_ns = target.ServerCpuNs();
  run.latch.Wait();
  Sample sample = Collect(workers, times.duration);
  if (cpu_begin_ns.has_value() && cpu_end_ns.has_value() && sample.answered > 0) {
    sample.server_cpu_us =
        static_cast<double>(*cpu_end_ns - *cpu_begin_ns) / kNsPerUs / static_cast<double>(sample.answered);
  }
  return sample;
}

}  // namespace flashcore::bench
