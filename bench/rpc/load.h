// A closed loop over the raw API: the requests' bytes are shared, the answers' bytes are looked at for their number
// (and, on streams, their id) and dropped. So little is done here that what is measured is gRPC and the server.
//
//   |-- warm-up --|-- measured: answers that come here count --|-- what is under way ends --|
#ifndef FLASHCORE_BENCH_RPC_LOAD_H_
#define FLASHCORE_BENCH_RPC_LOAD_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>

#include "absl/time/time.h"
#include "bench/rpc/cases.h"
#include "bench/rpc/samples.h"
#include "bench/rpc/target.h"

namespace flashcore::bench {

// What is sent, and what a good answer is.
struct Exchange {
  grpc::ByteBuffer request;  // An AttendRequest.
  size_t least_answer_bytes = 0;
};

struct LoadTimes {
  absl::Duration warmup;
  absl::Duration duration;
};

// Blocks until it is over. `target` has as many connections as the case wants. A request that fails is counted, and
// ends its part of the loop: errors are not a load.
Sample Measure(Target& target, const Case& c, const Exchange& exchange, const LoadTimes& times);

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_RPC_LOAD_H_
