#include "server/rpc/chunk_stream.h"

#include <algorithm>

namespace flashcore {

bool ChunkStream::Next(const void** data, int* size) {
  while (index_ < chunks_.size() && offset_in_chunk_ == chunks_[index_].size()) {
    ++index_;
    offset_in_chunk_ = 0;
  }
  if (index_ == chunks_.size()) return false;
  const absl::string_view rest = chunks_[index_].substr(offset_in_chunk_);
  *data = rest.data();
  *size = static_cast<int>(rest.size());
  offset_in_chunk_ += rest.size();
  consumed_bytes_ += static_cast<int64_t>(rest.size());
  return true;
}

void ChunkStream::BackUp(int count) {
  // Only ever into what the last Next gave out, so it stays within the chunk.
  offset_in_chunk_ -= static_cast<size_t>(count);
  consumed_bytes_ -= count;
}

bool ChunkStream::Skip(int count) {
  auto left = static_cast<size_t>(count);
  while (left > 0 && index_ < chunks_.size()) {
    const size_t step = std::min(left, chunks_[index_].size() - offset_in_chunk_);
    offset_in_chunk_ += step;
    consumed_bytes_ += static_cast<int64_t>(step);
    left -= step;
    if (left > 0) {
      ++index_;
      offset_in_chunk_ = 0;
    }
  }
  return left == 0;
}

}  // namespace flashcore
