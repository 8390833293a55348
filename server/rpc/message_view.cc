#include "server/rpc/message_view.h"

namespace flashcore {

MessageView::MessageView(grpc::ByteBuffer& message) {
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
