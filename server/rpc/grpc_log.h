// What gRPC has to say, in the server's log.
#ifndef FLASHCORE_SERVER_RPC_GRPC_LOG_H_
#define FLASHCORE_SERVER_RPC_GRPC_LOG_H_

#include <cstdint>
#include <functional>
#include <string>

#include "kernels/base/mutex.h"

namespace flashcore {

// So many lines in each second of a clock, for causes that strangers have in their hand. Thread-safe.
class LinesPerSecond {
 public:
  explicit LinesPerSecond(int most) : most_(most) {}

  // Whether one more may be written; if so, `dropped` is how many were not since the last one.
  bool Take(int64_t now_seconds, int64_t& dropped);

 private:
  const int most_;
  Mutex mutex_;
  int64_t second_ ABSL_GUARDED_BY(mutex_) = 0;
  int written_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t dropped_ ABSL_GUARDED_BY(mutex_) = 0;
};

// From here on gRPC's log lines, for the whole process, are the server's, msg=grpc, 10 a second at most: whoever knocks
// without TLS, or with a wrong certificate, causes one. All are warnings, as what ends the server is told by itself.
//
// `on_deaf` is called, on a thread of gRPC's, once a port takes no more connections: gRPC 1.51 gives it up for good
// when accept fails, as it does when the process has all the files open that it may, and tells nobody but its log.
void TakeOverGrpcLog(std::function<void(const std::string& text)> on_deaf);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_GRPC_LOG_H_
