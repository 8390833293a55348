// Checks sampled answers against what was expected, on threads of its own: off the timing path.
#ifndef FLASHCORE_CLIENT_LOAD_VERIFIER_H_
#define FLASHCORE_CLIENT_LOAD_VERIFIER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "client/attend.h"
#include "client/load/workload.h"
#include "kernels/base/mutex.h"

namespace flashcore {

struct VerifierTotals {
  int64_t checked = 0;
  int64_t wrong = 0;
  double max_error = 0;            // Of all checked answers.
  double max_share = 0;            // The greatest max_error / tolerance: above 1 is wrong.
  std::string first_wrong_answer;  // What was wrong with it; empty if none was.
};

// Thread-safe.
class Verifier {
 public:
  // Of its threads, so that their CPU time can be told from the load's.
  static constexpr char kThreadName[] = "load-verifier";

  // At most `max_waiting` answers wait, beside those that were told to wait themselves.
  Verifier(int threads, size_t max_waiting);
  // Checks what still waits, then joins.
  ~Verifier();
  Verifier(const Verifier&) = delete;
  Verifier& operator=(const Verifier&) = delete;

  // Both take an answer to a request that has `expected`; the request must outlive the verifier.
  //
  // True: go on. False: too much waits; go on when `resume` is called, after this check, on a thread of the verifier's.
  bool SubmitOrWait(const PreparedRequest& request, AttendResult answer, absl::AnyInvocable<void()> resume);
  // False: too much waits, and the answer was dropped.
  bool SubmitIfRoom(const PreparedRequest& request, AttendResult answer);

  // Blocks until nothing waits.
  void Flush();
  VerifierTotals totals() const;

 private:
  struct Job {
    const PreparedRequest* request = nullptr;
    AttendResult answer;
    absl::AnyInvocable<void()> resume;  // Empty if nobody waits.
  };

  void Work();
  void Record(const Verdict& verdict, const std::string& request);

  const size_t max_waiting_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<Job> jobs_ ABSL_GUARDED_BY(mutex_);
  int64_t under_way_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  VerifierTotals totals_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_VERIFIER_H_
