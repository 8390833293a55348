// Responses on the wire, without copying a tensor: small header slices around slices that point into the output block.
// The block is freed when gRPC has sent, or dropped, the last of them.
#ifndef FLASHCORE_SERVER_RPC_RESPONSE_WRITER_H_
#define FLASHCORE_SERVER_RPC_RESPONSE_WRITER_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>

#include "absl/status/status.h"
#include "flashcore/v1/attention.pb.h"
#include "kernels/attention.h"
#include "server/engine/host_arena.h"
#include "server/rpc/request_check.h"

namespace flashcore {

// A computed request.
struct AttendAnswer {
  AttentionProblem problem;  // `o`, and `lse` where it is wanted, point into `output`.
  TensorLayout layout = TensorLayout::kBhsd;
  v1::Timing timing;
  HostBlock output;
};

// An AttendResponse.
grpc::ByteBuffer WriteAttendResponse(AttendAnswer answer);
// An AttendStreamResponse that carries one.
grpc::ByteBuffer WriteStreamResponse(uint64_t id, AttendAnswer answer);
// An AttendStreamResponse that carries an Error. `status` is not OK.
grpc::ByteBuffer WriteStreamError(uint64_t id, const absl::Status& status);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_RESPONSE_WRITER_H_
