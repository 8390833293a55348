#include "server/rpc/call_context.h"

#include <chrono>
#include <functional>
#include <string>

namespace flashcore {
namespace {

int64_t DeadlineNs(const grpc::CallbackServerContext& context, const Clock& clock) {
  // Beyond this a deadline is as good as none, and sums cannot overflow.
  constexpr auto kForever = std::chrono::hours(24 * 365);
  using TimePoint = std::chrono::system_clock::time_point;
  const TimePoint now = std::chrono::system_clock::now();
  const TimePoint deadline = context.deadline();
  if (deadline > now + kForever) return kNoDeadlineNs;
  return clock.NowNs() + std::chrono::duration_cast<std::chrono::nanoseconds>(deadline - now).count();
}

}  // namespace

CallContext ReadCallContext(const grpc::CallbackServerContext& context, const Clock& clock) {
  return {.deadline_ns = DeadlineNs(context, clock), .connection = std::hash<std::string>()(context.peer())};
}

}  // namespace flashcore
