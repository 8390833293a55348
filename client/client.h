// The client: connect, make tensors, Attend, read O.
//
//   absl::StatusOr<flashcore::Client> client = flashcore::Client::Connect("localhost:50051");
//   flashcore::Tensor q = flashcore::Tensor::Random({flashcore::DType::kFloat16, {1, 8, 512, 64}}, /*seed=*/1);
//   absl::StatusOr<flashcore::AttendResult> answer = client->Attend(q, q, q);
//   if (answer.ok()) std::printf("%f\n", answer->o.At(0));
//
// Errors keep the server's code and message: see the wire contract, proto/flashcore/v1/attention.proto, for what each
// code means. UNAVAILABLE also means that no connection could be made, INTERNAL that the answer made no sense.
#ifndef FLASHCORE_CLIENT_CLIENT_H_
#define FLASHCORE_CLIENT_CLIENT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/attend.h"
#include "client/security.h"
#include "client/tensor.h"

namespace flashcore {

struct ClientOptions {
  // Connections, used in turn. One carries about 1 GB/s; add some when tensors are large and calls overlap. >= 1.
  int channels = 1;
  // Plain text to this machine unless told otherwise.
  ChannelSecurity security = {};
};

struct CallOptions {
  // After this the call ends with DEADLINE_EXCEEDED, and the server drops it if it has not been launched.
  absl::Duration timeout = absl::InfiniteDuration();
  // Of an Attend.
  Priority priority = Priority::kNormal;
};

// What a server is and accepts; constant for the life of its process.
struct ServerInfo {
  std::string version;
  std::string backend;
  std::string device;
  std::string kernel;
  std::vector<DType> dtypes;
  int64_t min_head_dim = 0;
  int64_t max_head_dim = 0;
  int64_t head_dim_multiple = 0;
  int64_t max_message_bytes = 0;
  int64_t max_queue_length = 0;
  int64_t max_bytes_in_flight = 0;
  int64_t max_batch_requests = 0;
  int64_t max_batch_bytes = 0;
  int64_t lanes = 0;
  int64_t max_stream_in_flight = 0;
};

// Thread-safe. Movable; a moved-from client can only be assigned to or destroyed. Destroying a client cancels the calls
// under way and waits until their callbacks have returned, so it must not be destroyed in one.
class Client {
 public:
  // `target` is "host:port" or "unix:/path/to/socket". Reads the files that options.security names; touches no network:
  // the first call connects. Never through an HTTP proxy. INVALID_ARGUMENT names what is wrong with the target, an
  // option or a file: plain text to another machine, too, unless options.security says that it is meant.
  static absl::StatusOr<Client> Connect(const std::string& target, const ClientOptions& options = {});

  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  // Computes O = softmax(Q K^T) V on the server, and blocks until it is there. q is [B, Hq, Sq, D], k and v are
  // [B, Hkv, Skv, D], each in its own layout's order. Tensor bytes are not copied on the way out.
  // Not to be called from a callback of AttendAsync. With borrowed tensors it may return later than the timeout: when
  // the connection is stuck in the middle of sending them.
  absl::StatusOr<AttendResult> Attend(const Tensor& q, const Tensor& k, const Tensor& v,
                                      const AttendOptions& options = {}, const CallOptions& call = {});

  // The same without blocking: `callback` runs exactly once, on a thread of gRPC's, and must not block. It may run
  // before this returns. Refuses borrowed tensors with INVALID_ARGUMENT: the network may read a tensor's bytes for a
  // moment after a call has failed, so somebody has to own them.
  void AttendAsync(const Tensor& q, const Tensor& k, const Tensor& v, const AttendOptions& options,
                   const CallOptions& call, AttendCallback callback);

  // Blocks.
  absl::StatusOr<ServerInfo> GetServerInfo(const CallOptions& call = {.timeout = absl::Seconds(10)});

  // Blocks until the standard health service says SERVING, also while nothing listens yet. DEADLINE_EXCEEDED after
  // `timeout`, saying what was seen last, and then as Explain. UNAUTHENTICATED at once if the server wants a token.
  absl::Status WaitUntilServing(absl::Duration timeout);

  // For people who read a failed call's status: adds why no connection comes about (UNAVAILABLE, DEADLINE_EXCEEDED) or
  // what the server misses (UNAUTHENTICATED), and what to do, as far as that can be found out. Returns any other status
  // as it is. Blocks for seconds, and makes a connection of its own: nothing for a loop.
  absl::Status Explain(const absl::Status& status) const;

 private:
  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_CLIENT_H_
