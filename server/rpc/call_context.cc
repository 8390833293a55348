#include "server/rpc/call_context.h"

#include <grpcpp/security/auth_context.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

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

// The peer's address is a connection's own, but for a Unix socket, whose clients all have the same. What gRPC knows of
// a peer otherwise it keeps once per connection, so that its place in memory is the connection's own as long as that
// lives.
uint64_t ConnectionOf(const grpc::CallbackServerContext& context) {
  const std::string address = context.peer();
  const size_t key = std::hash<std::string>()(address);
  if (!absl::StartsWith(address, "unix:")) return key;
  const std::shared_ptr<const grpc::AuthContext> peer = context.auth_context();
  if (peer == nullptr || peer->begin() == peer->end()) return key;
  return std::hash<const char*>()((*peer->begin()).second.data());
}

constexpr char kTraceparentKey[] = "traceparent";
constexpr absl::string_view kTraceparentShape = "00-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx";

std::string Traceparent(const grpc::CallbackServerContext& context) {
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find(kTraceparentKey);
  if (found == metadata.end()) return {};
  std::string value(found->second.data(), found->second.size());
  return IsTraceparent(value) ? value : std::string();
}

}  // namespace

bool IsTraceparent(absl::string_view text) {
  const auto fits = [](char c, char shape) {
    return shape == 'x' ? absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f') : c == shape;
  };
  return std::equal(text.begin(), text.end(), kTraceparentShape.begin(), kTraceparentShape.end(), fits);
}

CallContext ReadCallContext(const grpc::CallbackServerContext& context, const Clock& clock, bool want_traceparent) {
  return {.deadline_ns = DeadlineNs(context, clock),
          .connection = ConnectionOf(context),
          .traceparent = want_traceparent ? Traceparent(context) : std::string()};
}

}  // namespace flashcore
