#include "client/load/verifier.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace flashcore {

Verifier::Verifier(int threads, size_t max_waiting) : max_waiting_(max_waiting) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
}

Verifier::~Verifier() {
  {
    const MutexLock lock(mutex_);
    closing_ = true;
    changed_.NotifyAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

bool Verifier::SubmitOrWait(const PreparedRequest& request, AttendResult answer, absl::AnyInvocable<void()> resume) {
  const MutexLock lock(mutex_);
  const bool room = jobs_.size() < max_waiting_;
  if (room) resume = nullptr;
  jobs_.push_back({.request = &request, .answer = std::move(answer), .resume = std::move(resume)});
  changed_.NotifyAll();
  return room;
}

bool Verifier::SubmitIfRoom(const PreparedRequest& request, AttendResult answer) {
  const MutexLock lock(mutex_);
  if (jobs_.size() >= max_waiting_) return false;
  jobs_.push_back({.request = &request, .answer = std::move(answer), .resume = nullptr});
  changed_.NotifyAll();
  return true;
}

void Verifier::Flush() {
  const MutexLock lock(mutex_);
  while (!jobs_.empty() || under_way_ > 0) changed_.Wait(mutex_);
}

VerifierTotals Verifier::totals() const {
  const MutexLock lock(mutex_);
  return totals_;
}

void Verifier::Work() {
  pthread_setname_np(pthread_self(), kThreadName);
  for (;;) {
    Job job;
    {
      const MutexLock lock(mutex_);
      while (jobs_.empty() && !closing_) changed_.Wait(mutex_);
      if (jobs_.empty()) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
      ++under_way_;
    }
    Record(Check(*job.request->expected, job.answer), ToString(job.request->q.spec()));
    if (job.resume) job.resume();
    const MutexLock lock(mutex_);
    --under_way_;
    changed_.NotifyAll();
  }
}

void Verifier::Record(const Verdict& verdict, const std::string& request) {
  const MutexLock lock(mutex_);
  ++totals_.checked;
  totals_.max_error = std::max(totals_.max_error, verdict.max_error);
  totals_.max_share = std::max(totals_.max_share, verdict.max_error / verdict.tolerance);
  if (verdict.right) return;
  ++totals_.wrong;
  if (totals_.first_wrong_answer.empty()) {
    totals_.first_wrong_answer = absl::StrCat("q ", request, ": ", verdict.problem);
  }
}

}  // namespace flashcore
