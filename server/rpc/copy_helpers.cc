#include "server/rpc/copy_helpers.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace flashcore {
namespace {

constexpr int kCpusPerHelper = 4;
constexpr int kMaxHelpers = 3;

void CopyOne(const CopyPiece& piece) { std::memcpy(piece.to, piece.from, piece.size_bytes); }

// Past the caches: who reads staging memory next is a device, and what lies in the caches of several CPUs reaches it
// more slowly than what lies in memory.
void StreamOne(const CopyPiece& piece) {
#ifdef __SSE2__
  std::byte* to = piece.to;
  const char* from = piece.from;
  size_t left_bytes = piece.size_bytes;
  const size_t unaligned_bytes = std::min(left_bytes, -reinterpret_cast<uintptr_t>(to) % sizeof(__m128i));
  std::memcpy(to, from, unaligned_bytes);
  to += unaligned_bytes;
  from += unaligned_bytes;
  left_bytes -= unaligned_bytes;
  for (; left_bytes >= sizeof(__m128i); left_bytes -= sizeof(__m128i)) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(to), _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    to += sizeof(__m128i);
    from += sizeof(__m128i);
  }
  std::memcpy(to, from, left_bytes);
  _mm_sfence();
#else
  CopyOne(piece);
#endif
}

size_t TotalBytes(absl::Span<const CopyPiece> pieces) {
  return std::accumulate(pieces.begin(), pieces.end(), size_t{0},
                         [](size_t sum, const CopyPiece& piece) { return sum + piece.size_bytes; });
}

}  // namespace

int CopyHelperCount(int cpus) { return std::clamp(cpus / kCpusPerHelper - 1, 0, kMaxHelpers); }

CopyHelpers::CopyHelpers(int count, int64_t poll_ns) : poll_ns_(poll_ns) {
  for (int i = 0; i < count; ++i) helpers_.emplace_back([this] { Help(); });
}

CopyHelpers::~CopyHelpers() {
  {
    const MutexLock lock(mutex_);
    ending_ = true;
  }
  changed_.NotifyAll();
  for (std::thread& helper : helpers_) helper.join();
}

void CopyHelpers::Copy(absl::Span<const CopyPiece> pieces) {
  const bool alone = copying_.fetch_add(1, std::memory_order_acq_rel) == 0;
  if (alone && !helpers_.empty() && TotalBytes(pieces) >= kLeastBytesToShare) {
    Share(pieces);
  } else {
    for (const CopyPiece& piece : pieces) CopyOne(piece);
  }
  copying_.fetch_sub(1, std::memory_order_acq_rel);
}

void CopyHelpers::Job::Work() {
  for (size_t i = next++; i < pieces.size(); i = next++) StreamOne(pieces[i]);
}

void CopyHelpers::Share(absl::Span<const CopyPiece> pieces) {
  Job job{.pieces = pieces};
  {
    const MutexLock lock(mutex_);
    // Copies that begin before this one ends have no helpers, so nobody else's is there.
    offered_ = &job;
    ++offers_;
  }
  changed_.NotifyAll();
  job.Work();
  {
    const MutexLock lock(mutex_);
    offered_ = nullptr;
  }
  // From here on nobody joins in.
  while (job.helping.load(std::memory_order_acquire) > 0) std::this_thread::yield();
}

void CopyHelpers::Help() {
  uint64_t seen = 0;
  Job* job = nullptr;
  while (AwaitJob(seen, job)) {
    if (job == nullptr) continue;
    job->Work();
    job->helping.fetch_sub(1, std::memory_order_release);
  }
}

bool CopyHelpers::AwaitJob(uint64_t& seen, Job*& job) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::nanoseconds(poll_ns_);
  while (offers_.load(std::memory_order_relaxed) == seen && std::chrono::steady_clock::now() < end) {
    std::this_thread::yield();
  }
  const MutexLock lock(mutex_);
  while (offers_.load(std::memory_order_relaxed) == seen && !ending_) changed_.Wait(mutex_);
  if (ending_) return false;
  seen = offers_.load(std::memory_order_relaxed);
  job = offered_;
  if (job != nullptr) job->helping.fetch_add(1, std::memory_order_relaxed);
  return true;
}

}  // namespace flashcore
