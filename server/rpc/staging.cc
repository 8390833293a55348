#include "server/rpc/staging.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace flashcore {

static_assert(std::endian::native == std::endian::little, "tensors go from the wire to the device as they are");

namespace {

// Runs `take`(from, to, size_bytes) for each contiguous part of the range.
template <typename Take>
void ForEachPart(WireChunks chunks, WireRange range, std::byte* destination, Take take) {
  size_t skip_bytes = range.offset_bytes;
  size_t left_bytes = range.length_bytes;
  for (const absl::string_view chunk : chunks) {
    if (left_bytes == 0) return;
    if (skip_bytes >= chunk.size()) {
      skip_bytes -= chunk.size();
      continue;
    }
    const size_t step_bytes = std::min(left_bytes, chunk.size() - skip_bytes);
    take(chunk.data() + skip_bytes, destination, step_bytes);
    destination += step_bytes;
    left_bytes -= step_bytes;
    skip_bytes = 0;
  }
}

}  // namespace

void CopyRange(WireChunks chunks, WireRange range, std::byte* destination) {
  ForEachPart(chunks, range, destination,
              [](const char* from, std::byte* to, size_t size_bytes) { std::memcpy(to, from, size_bytes); });
}

void AppendPieces(WireChunks chunks, WireRange range, std::byte* destination, std::vector<CopyPiece>& pieces) {
  ForEachPart(chunks, range, destination, [&pieces](const char* from, std::byte* to, size_t size_bytes) {
    for (size_t done_bytes = 0; done_bytes < size_bytes; done_bytes += kPieceBytes) {
      pieces.push_back({from + done_bytes, to + done_bytes, std::min(kPieceBytes, size_bytes - done_bytes)});
    }
  });
}

}  // namespace flashcore
