// A server under comparison: connections that stay open from case to case, and what its process uses.
#ifndef FLASHCORE_BENCH_RPC_TARGET_H_
#define FLASHCORE_BENCH_RPC_TARGET_H_

#include <grpcpp/channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "bench/rpc/cases.h"

namespace flashcore::bench {

struct Address {
  std::string server;      // Whose it is; a server may have one for each transport.
  std::string target;      // "host:port" or "unix:/path".
  int64_t process_id = 0;  // 0: not known.

  Transport transport() const;
};

// "name=target" or "name=target@process", separated by commas. INVALID_ARGUMENT says what is wrong.
absl::StatusOr<std::vector<Address>> ParseAddresses(absl::string_view text);

// Not thread-safe; the stubs are.
class Target {
 public:
  using Stub = grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer>;

  explicit Target(Address address) : address_(std::move(address)) {}

  const Address& address() const { return address_; }

  // Opens connections until there are `channels`, and waits for each. UNAVAILABLE after `timeout`.
  absl::Status Connect(int channels, absl::Duration timeout);

  // Of the connection `index`, which is open. Lives as long as the target.
  Stub& stub(int index) { return *stubs_[static_cast<size_t>(index)]; }

  // CPU time that the server's process has used so far; nullopt where the system does not tell.
  std::optional<int64_t> ServerCpuNs() const;

 private:
  const Address address_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  std::vector<std::unique_ptr<Stub>> stubs_;
};

}  // namespace flashcore::bench

#endif  // FLASHCORE_BENCH_RPC_TARGET_H_
