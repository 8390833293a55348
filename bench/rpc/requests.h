// The messages that the load sends, encoded once.
#ifndef FLASHCORE_BENCH_RPC_REQUESTS_H_
#define FLASHCORE_BENCH_RPC_REQUESTS_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <cstdint>
#include <optional>

#include "bench/rpc/cases.h"
#include "client/tensor.h"

namespace flashcore::bench {

// The problem of a payload. The tensors' seeds are fixed.
struct Problem {
  Tensor q;
  Tensor k;
  Tensor v;
};
Problem MakeProblem(Payload payload);

// An AttendRequest. Sending it again and again copies nothing: gRPC takes references.
grpc::ByteBuffer EncodeRequest(const Problem& problem);

// An AttendStreamRequest around `request`, whose bytes are shared and not copied.
grpc::ByteBuffer EncodeStreamRequest(uint64_t id, const grpc::ByteBuffer& request);

// The id that an AttendStreamResponse begins with, as every writer of protobuf has it; nullopt if it does not.
std::optional<uint64_t> LeadingId(grpc::ByteBuffer& answer);

// No answer to this problem is shorter.
size_t LeastAnswerBytes(const Problem& problem);

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_RPC_REQUESTS_H_
