// Runs CTAs of CUDA threads on one host thread: every CUDA thread is a fiber, and runs until it has to wait for others.
//
//   lanes of a warp   a collective (mma, shuffle, vote) is done by the last lane to come
//   warps             run as far ahead of each other as barriers let them
//   CTAs              one after the other
//
// What a device may get away with fails here:
//
//   cp.async         spoils its destination at once, and copies when its thread waits for the copy's group
//   shared memory    holds NaN when a CTA starts, as far as it is dynamic
//   SetSchedule()    has the warps of a CTA, and the CTAs of a grid, go forward, backward, or in an order drawn by lot
//
// What cannot be right ends the process with a message: lanes at different collectives, a barrier that some thread
// never comes to, addresses outside of shared memory or of the tensors.
//
// Called by the headers in include/, which stand in for CUDA's. All state is the host thread's.
#ifndef FLASHCORE_TESTS_KERNELS_EMULATION_CTA_H_
#define FLASHCORE_TESTS_KERNELS_EMULATION_CTA_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"

namespace flashcore::emulation {

inline constexpr size_t kLanes = 32;

enum class Order { kForward, kBackward, kShuffled };

// From now on. `seed` is for kShuffled.
void SetSchedule(Order order, uint64_t seed);

// What cp.async may read from now on.
void SetReadable(std::vector<absl::Span<const std::byte>> tensors);

// Runs `grid` CTAs, each of whose `threads` calls `kernel`, with so much dynamic shared memory.
void RunGrid(int grid, int threads, size_t shared_bytes, absl::FunctionRef<void()> kernel);

// The rest is called by the kernel's threads.

int ThreadIndex();
int BlockIndex();
int BlockDimension();
int GridDimension();

// Shared memory has addresses of its own, of 32 bits.
uint32_t SharedAddressOf(const void* byte);
// What is at `address`, a multiple of `bytes`, of which there have to be as many.
unsigned char* SharedBytes(uint32_t address, uint32_t bytes);

// Lets the warp's lanes meet at a collective. `work` gets what every lane brought, lane 0 first; it runs once.
using Operands = absl::Span<void* const>;
using WarpWork = void (*)(Operands operands);
void Meet(const char* collective, void* operand, WarpWork work);

// Waits at barrier `id` until `threads` threads have come. Whether one of them brought `predicate`.
bool Barrier(int id, int threads, bool predicate);

// Copies 16 bytes to shared memory; zeros if `source` is null.
void IssueCopy(uint32_t shared, const void* source);
// Closes the group of this thread's copies since the last commit.
void CommitCopies();
// Waits until at most `pending` of this thread's latest groups are under way.
void WaitForCopies(size_t pending);

}  // namespace flashcore::emulation

#endif  // FLASHCORE_TESTS_KERNELS_EMULATION_CTA_H_
