// Where a request's tensors lie in its two blocks of staging memory:
//
//   input   [ Q ..][ K ..][ V ..]      output  [ O ..][ LSE ..]      . is padding to HostArena::kAlignment
#ifndef FLASHCORE_SERVER_SCHEDULER_STAGING_LAYOUT_H_
#define FLASHCORE_SERVER_SCHEDULER_STAGING_LAYOUT_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/attention.h"
#include "server/engine/host_arena.h"

namespace flashcore {

// Each a multiple of HostArena::kAlignment.
struct StagingLayout {
  int64_t q_bytes = 0;    // Also O's.
  int64_t kv_bytes = 0;   // K's and V's, each.
  int64_t lse_bytes = 0;  // 0 if not wanted.

  int64_t input_bytes() const { return q_bytes + 2 * kv_bytes; }
  int64_t output_bytes() const { return q_bytes + lse_bytes; }
  int64_t total_bytes() const { return input_bytes() + output_bytes(); }
};

// For a valid problem. RESOURCE_EXHAUSTED if all together is more than `max_batch_bytes`.
absl::StatusOr<StagingLayout> LayOut(const AttentionProblem& problem, bool want_lse, int64_t max_batch_bytes);

// Both blocks or neither, on `account`. RESOURCE_EXHAUSTED as HostArena::Allocate.
absl::Status AllocateBlocks(HostArena& arena, const StagingLayout& layout,
                            const std::shared_ptr<MemoryAccount>& account, HostBlock& input, HostBlock& output);

// Sets the problem's pointers; lse only if it is wanted.
void PointIntoBlocks(const StagingLayout& layout, bool want_lse, const HostBlock& input, const HostBlock& output,
                     AttentionProblem& problem);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_SCHEDULER_STAGING_LAYOUT_H_
