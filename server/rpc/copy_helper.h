// A second thread for long copies into staging memory: one CPU copies some 9 GB/s, and a lonely request waits for it.
//
// The caller copies all the while, and the helper joins in when it has woken up. It is asked only where nobody else
// copies: a busy server has no CPU to spare for it, and every caller has its own.
#ifndef FLASHCORE_SERVER_RPC_COPY_HELPER_H_
#define FLASHCORE_SERVER_RPC_COPY_HELPER_H_

#include <atomic>
#include <cstddef>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/types/span.h"
#include "kernels/base/mutex.h"
#include "server/rpc/staging.h"

namespace flashcore {

// Shorter copies are done before the helper is awake.
inline constexpr size_t kLeastBytesToShare = size_t{512} << 10;
// With fewer CPUs there is no helper.
inline constexpr int kLeastCpusForHelper = 8;

// Thread-safe.
class CopyHelper {
 public:
  // `cpus`: that the process may use.
  explicit CopyHelper(int cpus);
  // Nobody may be copying.
  ~CopyHelper();
  CopyHelper(const CopyHelper&) = delete;
  CopyHelper& operator=(const CopyHelper&) = delete;

  // Returns when all pieces, which do not overlap, are copied. Waits for the helper, if that takes part, for as long as
  // it takes to copy one piece.
  void Copy(absl::Span<const CopyPiece> pieces);

 private:
  // A copy to take part in: whoever takes the next piece copies it. On the caller's stack.
  struct Job {
    absl::Span<const CopyPiece> pieces;
    std::atomic<size_t> next = 0;
    std::atomic<bool> helper_done = false;  // The helper's last access.

    void Work();
  };

  void Share(absl::Span<const CopyPiece> pieces);
  void Help();

  std::atomic<int> copying_ = 0;
  Mutex mutex_;
  CondVar changed_;
  Job* offered_ ABSL_GUARDED_BY(mutex_) = nullptr;  // Until the helper or its owner takes it away.
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread helper_;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_COPY_HELPER_H_
