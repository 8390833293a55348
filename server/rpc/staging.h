// The one copy that a tensor's bytes make on the host: from the network's buffers into staging memory.
#ifndef FLASHCORE_SERVER_RPC_STAGING_H_
#define FLASHCORE_SERVER_RPC_STAGING_H_

#include <cstddef>
#include <vector>

#include "server/rpc/wire_reader.h"

namespace flashcore {

// Copies `range`, which lies within the chunks, to `destination`. Elements are little-endian on the wire and in memory.
void CopyRange(WireChunks chunks, WireRange range, std::byte* destination);

// A part of such a copy, at most kPieceBytes.
struct CopyPiece {
  const char* from = nullptr;
  std::byte* to = nullptr;
  size_t size_bytes = 0;
};
inline constexpr size_t kPieceBytes = size_t{32} << 10;

// What CopyRange would copy.
void AppendPieces(WireChunks chunks, WireRange range, std::byte* destination, std::vector<CopyPiece>& pieces);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_STAGING_H_
