// AttendRequest and AttendResponse on the wire, by hand where it saves copying tensors. Internal to the client library.
#ifndef FLASHCORE_CLIENT_WIRE_H_
#define FLASHCORE_CLIENT_WIRE_H_

#include <grpcpp/support/byte_buffer.h>

#include "absl/status/statusor.h"
#include "client/attend.h"

namespace flashcore {

// An AttendRequest whose tensor bytes are slices over the tensors' own memory: each slice holds its tensor's owner
// until gRPC lets go of it. A borrowed tensor is not held. INVALID_ARGUMENT: larger than a message can be (2 GiB).
absl::StatusOr<grpc::ByteBuffer> EncodeAttendRequest(const Tensor& q, const Tensor& k, const Tensor& v,
                                                     const AttendOptions& options);

// Copies each tensor's bytes once, out of gRPC's slices. INTERNAL if it is no AttendResponse, if a tensor's bytes do
// not match its shape, or if O or LSE are not what a request with this q and these options must get.
absl::StatusOr<AttendResult> ParseAttendResponse(grpc::ByteBuffer& response, const TensorSpec& q, bool return_lse);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_WIRE_H_
