// The bytes of a received gRPC message, as chunks, where gRPC keeps them.
#ifndef FLASHCORE_SERVER_RPC_MESSAGE_VIEW_H_
#define FLASHCORE_SERVER_RPC_MESSAGE_VIEW_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <vector>

#include "absl/strings/string_view.h"
#include "server/rpc/wire_reader.h"

namespace flashcore {

// Takes the message out of its ByteBuffer, which is empty afterwards: when the view goes, so do gRPC's buffers.
class MessageView {
 public:
  explicit MessageView(grpc::ByteBuffer& message);
  MessageView(const MessageView&) = delete;
  MessageView& operator=(const MessageView&) = delete;

  // Valid as long as the view.
  WireChunks chunks() const { return chunks_; }

 private:
  std::vector<grpc::Slice> slices_;
  std::vector<absl::string_view> chunks_;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_MESSAGE_VIEW_H_
