#include "server/rpc/message_view.h"

namespace flashcore {
namespace {

// The data frames of HTTP/2 have 16 KiB unless both sides agree on more, and each brings slices of its own.
constexpr size_t kUsualSliceBytes = size_t{16} << 10;

}  // namespace

MessageView::MessageView(grpc::ByteBuffer& message) {
  // One allocation, and not one for each doubling.
  slices_.reserve(message.Length() / kUsualSliceBytes + 1);
  // Dump takes references. It fails only for a buffer that was never filled, which then has no slices.
  if (!message.Dump(&slices_).ok()) slices_.clear();
  message.Clear();
  chunks_.reserve(slices_.size());
  for (const grpc::Slice& slice : slices_) {
    // Short slices hold their bytes in the Slice itself: views stay valid because slices_ never changes again.
    chunks_.emplace_back(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
}

}  // namespace flashcore
