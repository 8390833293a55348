// Which stretches of host memory to copy so that every tensor of a batch crosses the bus, and where each comes to lie
// in a device arena. A pure host function.
//
// Tensors that lie one behind the other, as Q, K and V of a request do in its block, cross in one copy:
//
//   host    ..[ Q ..][ K ..][ V .....]........[ Q ][ K ][ V ]..      . is padding to HostArena::kAlignment
//   device    [ Q ..][ K ..][ V .....][ Q ][ K ][ V ]
#ifndef FLASHCORE_SERVER_ENGINE_TRANSFER_PLAN_H_
#define FLASHCORE_SERVER_ENGINE_TRANSFER_PLAN_H_

#include <cstddef>
#include <vector>

#include "absl/types/span.h"

namespace flashcore {

// One contiguous tensor in host memory.
struct HostSpan {
  std::byte* data = nullptr;
  size_t size_bytes = 0;
};

struct Transfer {
  std::byte* host = nullptr;
  size_t device_offset_bytes = 0;  // A multiple of HostArena::kAlignment.
  size_t size_bytes = 0;
};

struct TransferPlan {
  std::vector<Transfer> transfers;
  // Of each tensor, in the order given; 0 for an empty one.
  std::vector<size_t> device_offsets_bytes;
  // The first offset after everything.
  size_t end_bytes = 0;
};

// Lays the tensors out from `begin_bytes` on. `plan` is replaced; its vectors keep their memory for the next. Takes at
// most the tensors' sum plus HostArena::kAlignment for each. Padding is copied only where it belongs to the tensor
// before it.
void PlanTransfers(absl::Span<const HostSpan> tensors, size_t begin_bytes, TransferPlan& plan);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_ENGINE_TRANSFER_PLAN_H_
