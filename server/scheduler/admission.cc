#include "server/scheduler/admission.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/scheduler/fair_limit.h"

namespace flashcore {
namespace {

Rejection ReasonOfGate(const absl::Status& gate) {
  return absl::IsInternal(gate) ? Rejection::kDeviceFault : Rejection::kDraining;
}

Admission::Entry Refuse(const Claim& claim, Verdict verdict) {
  if (verdict == Verdict::kFull) {
    return {absl::ResourceExhaustedError(absl::StrCat("the queue is full: of its ", claim.capacity, " places, ",
                                                      OpenTo(claim.priority, claim.capacity), " are for priority ",
                                                      kPriorityNames[static_cast<size_t>(claim.priority)], ", and ",
                                                      claim.taken, " are taken; try again later")),
            Rejection::kQueueFull, nullptr};
  }
  return {absl::ResourceExhaustedError(absl::StrCat("this connection holds ", claim.held, " of the ", claim.capacity,
                                                    " places in the queue; the rest is kept for others; try again "
                                                    "later")),
          Rejection::kConnectionShare, nullptr};
}

Admission::Entry RefuseForBacklog(int64_t unfinished, double time_per_request_ns) {
  constexpr double kNsPerMs = 1e6;
  return {absl::ResourceExhaustedError(absl::StrCat(
              "the backlog is full: ", unfinished, " requests are under way, which will take ",
              std::ceil(static_cast<double>(unfinished) * time_per_request_ns / kNsPerMs), " ms; try again later")),
          Rejection::kQueueFull, nullptr};
}

}  // namespace

Admission::Entry Admission::Enter(const RequestTerms& terms, double time_per_request_ns, int64_t now_ns) {
  std::shared_ptr<ConnectionShare> share;
  {
    const MutexLock lock(mutex_);
    if (!gate_.ok()) return {gate_, ReasonOfGate(gate_), nullptr};
    if (!backlog_.Admits(terms.priority, unfinished_, time_per_request_ns, now_ns)) {
      return RefuseForBacklog(unfinished_, time_per_request_ns);
    }
    share = ShareOf(terms.connection);
    const Claim claim = {
        .capacity = max_waiting_, .taken = waiting_, .held = share->places, .wanted = 1, .priority = terms.priority};
    if (const Verdict verdict = Judge(claim); verdict != Verdict::kFree) return Refuse(claim, verdict);
    backlog_.Joined(unfinished_, now_ns);
    ++waiting_;
    ++unfinished_;
    ++share->places;
  }
  metrics_.AddQueueLength(terms.priority, 1);
  metrics_.AddRequestsInFlight(1);
  return {absl::OkStatus(), Rejection::kQueueFull, std::move(share)};
}

std::shared_ptr<ConnectionShare> Admission::ShareOf(uint64_t connection) {
  std::shared_ptr<ConnectionShare>& share = shares_[connection];
  if (share != nullptr) return share;
  share = std::make_shared<ConnectionShare>();
  std::shared_ptr<ConnectionShare> held = share;
  if (shares_.size() >= sweep_at_) SweepConnections();
  return held;
}

void Admission::SweepConnections() {
  std::erase_if(shares_, [](const auto& entry) { return entry.second.use_count() == 1; });
  // Twice what is in use: each sweep is paid for by as many new connections.
  sweep_at_ = std::max(kLeastConnectionsToSweep, 2 * shares_.size());
}

size_t Admission::connections() {
  const MutexLock lock(mutex_);
  return shares_.size();
}

void Admission::LeaveQueue(const RequestTerms& terms, ConnectionShare& share) {
  metrics_.AddQueueLength(terms.priority, -1);
  const MutexLock lock(mutex_);
  --waiting_;
  --share.places;
}

void Admission::NoteComputed(int64_t now_ns) {
  const MutexLock lock(mutex_);
  backlog_.Computed(now_ns);
}

void Admission::LeaveService() { metrics_.AddRequestsInFlight(-1); }

void Admission::End() {
  const MutexLock lock(mutex_);
  if (--unfinished_ == 0) idle_.NotifyAll();
}

bool Admission::Close(absl::Status reason) {
  const MutexLock lock(mutex_);
  if (absl::IsInternal(gate_)) return false;
  gate_ = std::move(reason);
  return true;
}

bool Admission::WaitIdle(const Clock& clock, int64_t deadline_ns) {
  const MutexLock lock(mutex_);
  while (unfinished_ > 0) {
    if (deadline_ns == kNoDeadlineNs) {
      idle_.Wait(mutex_);
      continue;
    }
    const int64_t left_ns = deadline_ns - clock.NowNs();
    if (left_ns <= 0) return false;
    idle_.WaitUntil(mutex_, std::chrono::steady_clock::now() + std::chrono::nanoseconds(left_ns));
  }
  return true;
}

}  // namespace flashcore
