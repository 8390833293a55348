#include "server/rpc/staging.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace flashcore {

static_assert(std::endian::native == std::endian::little, "tensors go from the wire to the device as they are");

void CopyRange(WireChunks chunks, WireRange range, std::byte* destination) {
  size_t skip_bytes = range.offset_bytes;
  size_t left_bytes = range.length_bytes;
  for (const absl::string_view chunk : chunks) {
    if (left_bytes == 0) return;
    if (skip_bytes >= chunk.size()) {
      skip_bytes -= chunk.size();
      continue;
    }
    const size_t step_bytes = std::min(left_bytes, chunk.size() - skip_bytes);
    std::memcpy(destination, chunk.data() + skip_bytes, step_bytes);
    destination += step_bytes;
    left_bytes -= step_bytes;
    skip_bytes = 0;
  }
}

}  // namespace flashcore
