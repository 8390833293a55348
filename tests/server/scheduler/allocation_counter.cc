#include "tests/server/scheduler/allocation_counter.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace flashcore::testing {
namespace {

std::atomic<int64_t> allocations = 0;

}  // namespace

int64_t CountAllocations() { return allocations.load(std::memory_order_relaxed); }

}  // namespace flashcore::testing

void* operator new(size_t size_bytes) {
  flashcore::testing::allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size_bytes == 0 ? 1 : size_bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t /*size_bytes*/) noexcept { std::free(memory); }
