// The one copy that a tensor's bytes make on the host: from the network's buffers into staging memory.
#ifndef FLASHCORE_SERVER_RPC_STAGING_H_
#define FLASHCORE_SERVER_RPC_STAGING_H_

#include <cstddef>

#include "server/rpc/wire_reader.h"

namespace flashcore {

// Copies `range`, which lies within the chunks, to `destination`. Elements are little-endian on the wire and in memory.
void CopyRange(WireChunks chunks, WireRange range, std::byte* destination);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_STAGING_H_
