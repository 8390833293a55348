// Attend and AttendStream on the wire, by hand where it saves copying tensors. Internal to the client library.
#ifndef FLASHCORE_CLIENT_WIRE_H_
#define FLASHCORE_CLIENT_WIRE_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "client/attend.h"

namespace flashcore {

// An AttendRequest whose tensor bytes are slices over the tensors' own memory: each slice holds its tensor's owner
// until gRPC lets go of it. A borrowed tensor is not held. INVALID_ARGUMENT: larger than a message can be (2 GiB).
absl::StatusOr<grpc::ByteBuffer> EncodeAttendRequest(const Tensor& q, const Tensor& k, const Tensor& v,
                                                     const AttendOptions& options, Priority priority);

// The same as slices, for those who put something before them.
absl::StatusOr<std::vector<grpc::Slice>> EncodeAttendRequestSlices(const Tensor& q, const Tensor& k, const Tensor& v,
                                                                   const AttendOptions& options, Priority priority);

// What comes before an AttendRequest of `request_bytes` bytes to make it an AttendStreamRequest.
grpc::Slice EncodeStreamRequestPrefix(uint64_t id, size_t request_bytes);

// An answer whose tensors have been checked for dtype, shape and size, and not been copied.
struct AnswerSummary {
  ServerTiming timing;
  size_t tensor_bytes = 0;
};

// ParseAttendResponse copies each tensor's bytes once, out of gRPC's slices; SummarizeAttendResponse copies none.
// INTERNAL if it is no AttendResponse, if a tensor's bytes do not match its shape, or if O or LSE are not what a
// request with this q and these options must get. Neither uses the buffer up.
absl::StatusOr<AttendResult> ParseAttendResponse(grpc::ByteBuffer& response, const TensorSpec& q, bool return_lse);
absl::StatusOr<AnswerSummary> SummarizeAttendResponse(grpc::ByteBuffer& response, const TensorSpec& q, bool return_lse);

// The same for an AttendStreamResponse, whose id says what q was. An error in band is the status, with its retry hint.
absl::StatusOr<uint64_t> ReadStreamResponseId(grpc::ByteBuffer& response);
absl::StatusOr<AttendResult> ParseStreamResponse(grpc::ByteBuffer& response, const TensorSpec& q, bool return_lse);
absl::StatusOr<AnswerSummary> SummarizeStreamResponse(grpc::ByteBuffer& response, const TensorSpec& q, bool return_lse);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_WIRE_H_
