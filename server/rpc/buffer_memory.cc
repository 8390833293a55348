#include "server/rpc/buffer_memory.h"

#include <malloc.h>

#include <algorithm>
#include <limits>

namespace flashcore {
namespace {

// The greatest that glibc takes. Larger blocks go back to the system when they are freed.
constexpr int kLargestKeptBlockBytes = 32 << 20;
// One would do for the memory; two are as fast as one for each thread.
constexpr int kHeaps = 2;

}  // namespace

void KeepFreedMemory(int64_t bytes) {
  const auto kept_bytes = static_cast<int>(std::min<int64_t>(bytes, std::numeric_limits<int>::max()));
  mallopt(M_ARENA_MAX, kHeaps);
  // Each of the two also ends glibc's own adjusting of both. They fail only for values out of range.
  mallopt(M_TRIM_THRESHOLD, kept_bytes);
  mallopt(M_MMAP_THRESHOLD, std::min(kept_bytes, kLargestKeptBlockBytes));
}

}  // namespace flashcore
