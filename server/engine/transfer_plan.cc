#include "server/engine/transfer_plan.h"

#include <cstdint>

#include "server/engine/host_arena.h"

namespace flashcore {
namespace {

uintptr_t RoundUp(uintptr_t value) {
  return (value + HostArena::kAlignment - 1) / HostArena::kAlignment * HostArena::kAlignment;
}

// Whether `tensor` begins where the arena's granule after the end of `transfer` does: what lies between is the padding
// of the block before.
bool Continues(const Transfer& transfer, const HostSpan& tensor) {
  const uintptr_t end = reinterpret_cast<uintptr_t>(transfer.host) + transfer.size_bytes;
  return reinterpret_cast<uintptr_t>(tensor.data) == RoundUp(end);
}

}  // namespace

void PlanTransfers(absl::Span<const HostSpan> tensors, size_t begin_bytes, TransferPlan& plan) {
  plan.transfers.clear();
  plan.device_offsets_bytes.clear();
  plan.end_bytes = RoundUp(begin_bytes);
  for (const HostSpan& tensor : tensors) {
    if (tensor.size_bytes == 0) {
      plan.device_offsets_bytes.push_back(0);
      continue;
    }
    if (plan.transfers.empty() || !Continues(plan.transfers.back(), tensor)) {
      plan.transfers.push_back({.host = tensor.data, .device_offset_bytes = plan.end_bytes});
    }
    Transfer& transfer = plan.transfers.back();
    const auto offset_in_transfer = static_cast<size_t>(tensor.data - transfer.host);
    transfer.size_bytes = offset_in_transfer + tensor.size_bytes;
    const size_t device_offset = transfer.device_offset_bytes + offset_in_transfer;
    plan.device_offsets_bytes.push_back(device_offset);
    plan.end_bytes = RoundUp(device_offset + tensor.size_bytes);
  }
}

}  // namespace flashcore
