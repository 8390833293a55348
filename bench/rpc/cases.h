// What a comparison of servers measures: a list of cases, each of which loads every server in turn.
#ifndef FLASHCORE_BENCH_RPC_CASES_H_
#define FLASHCORE_BENCH_RPC_CASES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace flashcore::bench {

enum class Payload : uint8_t {
  kMission,  // fp16, Q = K = V = [1, 8, 512, 64]: 1.5 MiB in, 0.5 MiB out.
  kSmall,    // fp16, Q = K = V = [1, 1, 21, 8]: 1 KiB in, a third of it out.
};
enum class CallShape : uint8_t { kUnary, kStream };
enum class Transport : uint8_t { kTcp, kUnixSocket };

// One closed loop: `concurrency` requests are under way at any time, over `channels` connections. As streams, each
// connection carries one stream with concurrency / channels requests of it unanswered.
struct Case {
  Payload payload = Payload::kMission;
  CallShape shape = CallShape::kUnary;
  Transport transport = Transport::kTcp;
  int concurrency = 1;
  int channels = 1;

  friend bool operator==(const Case&, const Case&) = default;
};

// "mission unary tcp 32x8": the payload (mission, 1KiB), the call's shape (unary, stream), the transport (tcp, uds),
// and concurrency x channels.
std::string ToString(const Case& c);

// The notation above, cases separated by commas. INVALID_ARGUMENT says which case is wrong and what would be right:
// concurrency is a multiple of channels, up to kMaxConcurrency.
absl::StatusOr<std::vector<Case>> ParseCases(absl::string_view text);

inline constexpr int kMaxConcurrency = 4096;

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_RPC_CASES_H_
