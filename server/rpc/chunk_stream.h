// A sequence of chunks as protobuf's input stream. Copies nothing.
#ifndef FLASHCORE_SERVER_RPC_CHUNK_STREAM_H_
#define FLASHCORE_SERVER_RPC_CHUNK_STREAM_H_

#include <google/protobuf/io/zero_copy_stream.h>

#include <cstddef>
#include <cstdint>

#include "server/rpc/wire_reader.h"

namespace flashcore {

// The chunks must outlive the stream and be at most INT_MAX bytes each. Not thread-safe.
class ChunkStream final : public google::protobuf::io::ZeroCopyInputStream {
 public:
  explicit ChunkStream(WireChunks chunks) : chunks_(chunks) {}

  bool Next(const void** data, int* size) override;
  void BackUp(int count) override;
  bool Skip(int count) override;
  int64_t ByteCount() const override { return consumed_bytes_; }

 private:
  WireChunks chunks_;
  size_t index_ = 0;            // Of the chunk that Next continues with,
  size_t offset_in_chunk_ = 0;  // from here.
  int64_t consumed_bytes_ = 0;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_CHUNK_STREAM_H_
