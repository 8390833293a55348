// The requests of a run, made before it starts: the hot loop only picks one.
#ifndef FLASHCORE_CLIENT_LOAD_WORKLOAD_H_
#define FLASHCORE_CLIENT_LOAD_WORKLOAD_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <vector>

#include "absl/status/statusor.h"
#include "client/attend.h"
#include "client/load/mix.h"
#include "client/tensor.h"
#include "client/verify/reference_check.h"

namespace flashcore {

struct PreparedRequest {
  size_t index = 0;  // Among the workload's requests.
  Tensor q;
  Tensor k;
  Tensor v;
  AttendOptions options;
  Priority priority = Priority::kNormal;
  double flops = 0;
  int64_t bytes = 0;  // Of q, k and v together.
  std::optional<ExpectedAnswer> expected;
};

struct WorkloadOptions {
  // Different tensors for each entry of the mix, used in turn, so that no cache answers twice. >= 1.
  int variants = 4;
  uint64_t seed = 0;
  // Compute the expected answers, which takes longer than anything else here. An entry that the reference refuses has
  // none, and its requests are not verified.
  bool expected_answers = false;
  // Threads that prepare. >= 1.
  int threads = 1;
};

// Immutable once made, and so thread-safe.
class Workload {
 public:
  // Calls `progress(done, total)` now and then, from any of the threads, one at a time. RESOURCE_EXHAUSTED: the tensors
  // do not fit into memory.
  static absl::StatusOr<Workload> Create(std::vector<MixEntry> mix, const WorkloadOptions& options,
                                         const std::function<void(int done, int total)>& progress);

  // By the entries' weights; variants at random.
  const PreparedRequest& Pick(std::mt19937_64& random) const;

  const std::vector<MixEntry>& mix() const { return mix_; }
  // Of all entries and variants.
  const std::vector<PreparedRequest>& requests() const { return requests_; }
  int64_t total_bytes() const;

 private:
  Workload(std::vector<MixEntry> mix, int variants);

  std::vector<MixEntry> mix_;
  size_t variants_;
  std::vector<double> cumulative_weights_;  // Of the entries.
  std::vector<PreparedRequest> requests_;   // Entry by entry, variants_ of each.
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_WORKLOAD_H_
