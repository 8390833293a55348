#include "server/rpc/copy_helper.h"

#include <cstring>
#include <numeric>
#include <utility>

namespace flashcore {
namespace {

void CopyOne(const CopyPiece& piece) { std::memcpy(piece.to, piece.from, piece.size_bytes); }

size_t TotalBytes(absl::Span<const CopyPiece> pieces) {
  return std::accumulate(pieces.begin(), pieces.end(), size_t{0},
                         [](size_t sum, const CopyPiece& piece) { return sum + piece.size_bytes; });
}

}  // namespace

CopyHelper::CopyHelper(int cpus) {
  if (cpus >= kLeastCpusForHelper) helper_ = std::thread([this] { Help(); });
}

CopyHelper::~CopyHelper() {
  if (!helper_.joinable()) return;
  {
    const MutexLock lock(mutex_);
    ending_ = true;
  }
  changed_.NotifyOne();
  helper_.join();
}

void CopyHelper::Copy(absl::Span<const CopyPiece> pieces) {
  const bool alone = copying_.fetch_add(1, std::memory_order_acq_rel) == 0;
  if (alone && helper_.joinable() && TotalBytes(pieces) >= kLeastBytesToShare) {
    Share(pieces);
  } else {
    for (const CopyPiece& piece : pieces) CopyOne(piece);
  }
  copying_.fetch_sub(1, std::memory_order_acq_rel);
}

void CopyHelper::Job::Work() {
  for (size_t i = next++; i < pieces.size(); i = next++) CopyOne(pieces[i]);
}

void CopyHelper::Share(absl::Span<const CopyPiece> pieces) {
  Job job{.pieces = pieces};
  {
    const MutexLock lock(mutex_);
    offered_ = &job;
  }
  changed_.NotifyOne();
  job.Work();
  {
    const MutexLock lock(mutex_);
    if (std::exchange(offered_, nullptr) != nullptr) return;
  }
  while (!job.helper_done.load(std::memory_order_acquire)) std::this_thread::yield();
}

void CopyHelper::Help() {
  while (true) {
    Job* job = nullptr;
    {
      const MutexLock lock(mutex_);
      while (offered_ == nullptr && !ending_) changed_.Wait(mutex_);
      if (ending_) return;
      job = std::exchange(offered_, nullptr);
    }
    job->Work();
    job->helper_done.store(true, std::memory_order_release);
  }
}

}  // namespace flashcore
