#include "bench/rpc/target.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <ctime>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

namespace flashcore::bench {
namespace {

std::shared_ptr<grpc::Channel> CreateChannel(const std::string& target) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  // Without this, channels to one target share one connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

Transport Address::transport() const {
  return absl::StartsWith(target, "unix:") ? Transport::kUnixSocket : Transport::kTcp;
}

absl::StatusOr<std::vector<Address>> ParseAddresses(absl::string_view text) {
  std::vector<Address> addresses;
  for (const absl::string_view part : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    const std::pair<absl::string_view, absl::string_view> named = absl::StrSplit(part, absl::MaxSplits('=', 1));
    const std::vector<absl::string_view> where = absl::StrSplit(named.second, absl::MaxSplits('@', 1));
    Address address{.server = std::string(named.first), .target = std::string(where.front())};
    const bool process_known = where.size() == 1 || absl::SimpleAtoi(where.back(), &address.process_id);
    if (address.server.empty() || address.target.empty() || !process_known) {
      return absl::InvalidArgumentError(absl::StrCat("'", part, "' is no server: want name=target or name=target@PID"));
    }
    addresses.push_back(std::move(address));
  }
  if (addresses.empty()) return absl::InvalidArgumentError("there is no server");
  return addresses;
}

absl::Status Target::Connect(int channels, absl::Duration timeout) {
  const auto deadline = absl::ToChronoTime(absl::Now() + timeout);
  while (channels_.size() < static_cast<size_t>(channels)) {
    std::shared_ptr<grpc::Channel> channel = CreateChannel(address_.target);
    if (!channel->WaitForConnected(deadline)) {
      return absl::UnavailableError(absl::StrCat(address_.server, ": cannot connect to ", address_.target));
    }
    stubs_.push_back(std::make_unique<Stub>(channel));
    channels_.push_back(std::move(channel));
  }
  return absl::OkStatus();
}

std::optional<int64_t> Target::ServerCpuNs() const {
  clockid_t clock = 0;
  timespec time{};
  if (address_.process_id == 0 || clock_getcpuclockid(static_cast<pid_t>(address_.process_id), &clock) != 0 ||
      clock_gettime(clock, &time) != 0) {
    return std::nullopt;
  }
  return absl::ToInt64Nanoseconds(absl::DurationFromTimespec(time));
}

}  // namespace flashcore::bench
