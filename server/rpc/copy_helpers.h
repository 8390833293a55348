// More threads for long copies into staging memory: one CPU copies some 9 GB/s, and a lonely request waits for it.
//
// The caller copies all the while, and helpers join in. They are asked only where nobody else copies: a busy server has
// no CPU to spare for it, and every caller has its own. To wake a helper takes half as long as the copy of a megabyte,
// so after a copy they look out for the next for a while before they sleep, and yield their CPUs to whoever wants them.
#ifndef FLASHCORE_SERVER_RPC_COPY_HELPERS_H_
#define FLASHCORE_SERVER_RPC_COPY_HELPERS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/types/span.h"
#include "kernels/base/mutex.h"
#include "server/rpc/staging.h"

namespace flashcore {

// Shorter copies are done before a helper has joined in.
inline constexpr size_t kLeastBytesToShare = size_t{256} << 10;

// For memory that a device reads next. How many helpers a machine with so many CPUs has: with fewer than 8 none, and
// never more than 3, as beyond four threads a copy gets no faster.
int CopyHelperCount(int cpus);

// Thread-safe.
class CopyHelpers {
 public:
  // `poll_ns`: how long a helper looks out for another copy before it sleeps.
  CopyHelpers(int count, int64_t poll_ns);
  // Nobody may be copying.
  ~CopyHelpers();
  CopyHelpers(const CopyHelpers&) = delete;
  CopyHelpers& operator=(const CopyHelpers&) = delete;

  // Returns when all pieces, which do not overlap, are copied. Waits for helpers that take part, for as long as it
  // takes to copy one piece.
  void Copy(absl::Span<const CopyPiece> pieces);

 private:
  // A copy to take part in: whoever takes the next piece copies it. On the caller's stack.
  struct Job {
    absl::Span<const CopyPiece> pieces;
    std::atomic<size_t> next = 0;
    std::atomic<int> helping = 0;  // Helpers that may yet touch it.

    void Work();
  };

  void Share(absl::Span<const CopyPiece> pieces);
  void Help();
  // Joins in the next job after that of `seen` offers, if it is still there. False: there will be none.
  bool AwaitJob(uint64_t& seen, Job*& job);

  const int64_t poll_ns_;
  std::atomic<int> copying_ = 0;
  std::atomic<uint64_t> offers_ = 0;  // Grows under the mutex.
  Mutex mutex_;
  CondVar changed_;
  Job* offered_ ABSL_GUARDED_BY(mutex_) = nullptr;  // Until its owner takes it away.
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> helpers_;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_COPY_HELPERS_H_
