#include "server/scheduler/staging_layout.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"

namespace flashcore {
namespace {

int64_t RoundUpToAlignment(int64_t bytes) {
  constexpr auto kAlignment = static_cast<int64_t>(HostArena::kAlignment);
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

absl::Status TooLarge(int64_t max_batch_bytes) {
  return absl::ResourceExhaustedError(absl::StrCat("the request's tensors, in and out, are larger than the ",
                                                   max_batch_bytes, " bytes that this server computes at once"));
}

}  // namespace

absl::StatusOr<StagingLayout> LayOut(const AttentionProblem& problem, bool want_lse, int64_t max_batch_bytes) {
  const auto element_bytes = static_cast<int64_t>(SizeOf(problem.dtype));
  const int64_t q_bytes = QueryElements(problem) * element_bytes;
  const int64_t kv_bytes = KeyValueElements(problem) * element_bytes;
  const int64_t lse_bytes = want_lse ? LseElements(problem) * static_cast<int64_t>(sizeof(float)) : 0;
  // One by one first: each fits int64, their sum need not.
  if (std::max({q_bytes, kv_bytes, lse_bytes}) > max_batch_bytes) return TooLarge(max_batch_bytes);
  const StagingLayout layout = {.q_bytes = RoundUpToAlignment(q_bytes),
                                .kv_bytes = RoundUpToAlignment(kv_bytes),
                                .lse_bytes = RoundUpToAlignment(lse_bytes)};
  if (layout.total_bytes() > max_batch_bytes) return TooLarge(max_batch_bytes);
  return layout;
}

absl::Status AllocateBlocks(HostArena& arena, const StagingLayout& layout,
                            const std::shared_ptr<MemoryAccount>& account, HostBlock& input, HostBlock& output) {
  absl::StatusOr<HostBlock> for_input = arena.Allocate(static_cast<size_t>(layout.input_bytes()), account);
  if (!for_input.ok()) return for_input.status();
  absl::StatusOr<HostBlock> for_output = arena.Allocate(static_cast<size_t>(layout.output_bytes()), account);
  if (!for_output.ok()) return for_output.status();
  input = *std::move(for_input);
  output = *std::move(for_output);
  return absl::OkStatus();
}

void PointIntoBlocks(const StagingLayout& layout, bool want_lse, const HostBlock& input, const HostBlock& output,
                     AttentionProblem& problem) {
  problem.q = input.data();
  problem.k = input.data() + layout.q_bytes;
  problem.v = input.data() + layout.q_bytes + layout.kv_bytes;
  problem.o = output.data();
  problem.lse = want_lse ? reinterpret_cast<float*>(output.data() + layout.q_bytes) : nullptr;
}

}  // namespace flashcore
