#include "client/client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/channel.h"
#include "client/wire.h"
#include "client/wire_types.h"
#include "flashcore/v1/attention.grpc.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "kernels/base/mutex.h"

namespace flashcore {
namespace {

// Between two looks at a server that answers, but does not serve yet.
constexpr absl::Duration kHealthPollInterval = absl::Milliseconds(50);

// One unary call; shared by whoever still needs it.
struct AttendCall {
  grpc::ClientContext context;
  grpc::ByteBuffer request;
  grpc::ByteBuffer response;
  TensorSpec q;
  bool return_lse = false;
  AttendCallback callback;

  void Finish(const grpc::Status& status) {
    // The callback may be the owner's sign to take its tensors away.
    request.Clear();
    const absl::Status mapped = FromGrpc(status, context);
    callback(mapped.ok() ? ParseAttendResponse(response, q, return_lse) : mapped);
  }
};

// The calls under way.
//
// gRPC's callback threads belong to the channels that use them, and a ClientContext holds its channel. If a call's
// state were the last to go, on a callback thread, that thread would end itself; so a client outlives its calls'
// states.
class LiveCalls {
 public:
  static std::shared_ptr<AttendCall> Create(const std::shared_ptr<LiveCalls>& live) {
    const MutexLock lock(live->mutex_);
    const uint64_t id = live->next_id_++;
    std::shared_ptr<AttendCall> call(new AttendCall, [live, id](const AttendCall* state) {
      std::default_delete<const AttendCall>()(state);
      live->Remove(id);
    });
    live->calls_.emplace(id, call);
    return call;
  }

  void CancelAndWait() {
    for (const std::shared_ptr<AttendCall>& call : Snapshot()) call->context.TryCancel();
    const MutexLock lock(mutex_);
    while (!calls_.empty()) changed_.Wait(mutex_);
  }

 private:
  std::vector<std::shared_ptr<AttendCall>> Snapshot() {
    const MutexLock lock(mutex_);
    std::vector<std::shared_ptr<AttendCall>> calls;
    for (const auto& [id, weak] : calls_) {
      if (std::shared_ptr<AttendCall> call = weak.lock(); call != nullptr) calls.push_back(std::move(call));
    }
    return calls;
  }

  void Remove(uint64_t id) {
    const MutexLock lock(mutex_);
    calls_.erase(id);
    changed_.NotifyAll();
  }

  Mutex mutex_;
  CondVar changed_;
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unordered_map<uint64_t, std::weak_ptr<AttendCall>> calls_ ABSL_GUARDED_BY(mutex_);
};

// Waits until the answer is there and nobody reads borrowed memory any more.
class Rendezvous {
 public:
  void Answer(absl::StatusOr<AttendResult> answer) {
    const MutexLock lock(mutex_);
    answer_ = std::move(answer);
    changed_.NotifyAll();
  }

  // Gives `tensor` an owner whose end is noticed, if it has none. `self` is this.
  static Tensor Guard(const Tensor& tensor, const std::shared_ptr<Rendezvous>& self) {
    if (tensor.owner() != nullptr) return tensor;
    {
      const MutexLock lock(self->mutex_);
      ++self->borrowed_;
    }
    const std::shared_ptr<const void> owner(tensor.data(), [self](const void*) {
      const MutexLock lock(self->mutex_);
      --self->borrowed_;
      self->changed_.NotifyAll();
    });
    return Tensor::Share(tensor.spec(), owner);
  }

  absl::StatusOr<AttendResult> Wait() {
    const MutexLock lock(mutex_);
    while (!answer_.has_value() || borrowed_ > 0) changed_.Wait(mutex_);
    return *std::move(answer_);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::optional<absl::StatusOr<AttendResult>> answer_ ABSL_GUARDED_BY(mutex_);
  int borrowed_ ABSL_GUARDED_BY(mutex_) = 0;
};

ServerInfo FromWire(const v1::GetServerInfoResponse& wire) {
  ServerInfo info{.version = wire.version(),
                  .backend = wire.backend(),
                  .device = wire.device(),
                  .kernel = wire.kernel(),
                  .dtypes = {},
                  .min_head_dim = wire.min_head_dim(),
                  .max_head_dim = wire.max_head_dim(),
                  .head_dim_multiple = wire.head_dim_multiple(),
                  .max_message_bytes = wire.limits().max_message_bytes(),
                  .max_queue_length = wire.limits().max_queue_length(),
                  .max_bytes_in_flight = wire.limits().max_bytes_in_flight(),
                  .max_batch_requests = wire.limits().max_batch_requests(),
                  .max_batch_bytes = wire.limits().max_batch_bytes(),
                  .lanes = wire.limits().lanes(),
                  .max_stream_in_flight = wire.limits().max_stream_in_flight()};
  for (const int dtype : wire.dtypes()) {
    // A newer server may know dtypes that this client does not.
    if (const std::optional<DType> known = DTypeFromWire(dtype); known.has_value()) info.dtypes.push_back(*known);
  }
  return info;
}

}  // namespace

struct Client::Impl {
  const std::string attend_method = kAttendMethod;
  std::shared_ptr<const Connector> connector;
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  std::vector<std::unique_ptr<RawStub>> stubs;  // One for each channel.
  std::atomic<size_t> next_stub = 0;
  std::shared_ptr<LiveCalls> live_calls = std::make_shared<LiveCalls>();

  ~Impl() { live_calls->CancelAndWait(); }
};

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

absl::StatusOr<Client> Client::Connect(const std::string& target, const ClientOptions& options) {
  if (options.channels < 1) {
    return absl::InvalidArgumentError(absl::StrCat("channels: ", options.channels, " is below 1"));
  }
  absl::StatusOr<std::shared_ptr<const Connector>> connector = Connector::Create(target, options.security);
  if (!connector.ok()) return connector.status();
  auto impl = std::make_unique<Impl>();
  impl->connector = *std::move(connector);
  for (int i = 0; i < options.channels; ++i) {
    impl->channels.push_back(impl->connector->Connect());
    impl->stubs.push_back(std::make_unique<RawStub>(impl->channels.back()));
  }
  return Client(std::move(impl));
}

void Client::AttendAsync(const Tensor& q, const Tensor& k, const Tensor& v, const AttendOptions& options,
                         const CallOptions& call, AttendCallback callback) {
  for (const Tensor* tensor : {&q, &k, &v}) {
    if (tensor->owner() == nullptr && tensor->size_bytes() > 0) {
      callback(absl::InvalidArgumentError("a borrowed tensor in AttendAsync; use Tensor::Share, or Attend"));
      return;
    }
  }
  absl::StatusOr<grpc::ByteBuffer> request = EncodeAttendRequest(q, k, v, options, call.priority);
  if (!request.ok()) {
    callback(request.status());
    return;
  }
  const std::shared_ptr<AttendCall> state = LiveCalls::Create(impl_->live_calls);
  impl_->connector->Prepare(state->context, call.timeout);
  state->request.Swap(&*request);
  state->q = q.spec();
  state->return_lse = options.return_lse;
  state->callback = std::move(callback);
  RawStub& stub = *impl_->stubs[impl_->next_stub.fetch_add(1, std::memory_order_relaxed) % impl_->stubs.size()];
  stub.UnaryCall(&state->context, impl_->attend_method, grpc::StubOptions(), &state->request, &state->response,
                 [state](const grpc::Status& status) { state->Finish(status); });
}

absl::StatusOr<AttendResult> Client::Attend(const Tensor& q, const Tensor& k, const Tensor& v,
                                            const AttendOptions& options, const CallOptions& call) {
  auto rendezvous = std::make_shared<Rendezvous>();
  AttendAsync(Rendezvous::Guard(q, rendezvous), Rendezvous::Guard(k, rendezvous), Rendezvous::Guard(v, rendezvous),
              options, call,
              [rendezvous](absl::StatusOr<AttendResult> answer) { rendezvous->Answer(std::move(answer)); });
  return rendezvous->Wait();
}

absl::StatusOr<ServerInfo> Client::GetServerInfo(const CallOptions& call) {
  grpc::ClientContext context;
  impl_->connector->Prepare(context, call.timeout);
  v1::GetServerInfoResponse response;
  const std::unique_ptr<v1::AttentionService::Stub> stub = v1::AttentionService::NewStub(impl_->channels.front());
  const grpc::Status status = stub->GetServerInfo(&context, v1::GetServerInfoRequest(), &response);
  if (!status.ok()) return FromGrpc(status, context);
  return FromWire(response);
}

absl::Status Client::WaitUntilServing(absl::Duration timeout) {
  using grpc::health::v1::HealthCheckResponse;
  const std::string& target = impl_->connector->target();
  const absl::Time deadline = absl::Now() + timeout;
  const std::unique_ptr<grpc::health::v1::Health::Stub> stub = grpc::health::v1::Health::NewStub(impl_->channels[0]);
  std::string seen = "nothing answered";
  while (absl::Now() < deadline) {
    grpc::ClientContext context;
    impl_->connector->Prepare(context, deadline - absl::Now());
    context.set_wait_for_ready(true);
    HealthCheckResponse response;
    const grpc::Status status = stub->Check(&context, grpc::health::v1::HealthCheckRequest(), &response);
    if (status.ok() && response.status() == HealthCheckResponse::SERVING) return absl::OkStatus();
    if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
      return absl::UnimplementedError(absl::StrCat(target, " has no health service: is it a FlashCore server?"));
    }
    if (status.error_code() == grpc::StatusCode::UNAUTHENTICATED) return Explain(FromGrpc(status, context));
    if (status.ok()) {
      seen = absl::StrCat("it says ", HealthCheckResponse::ServingStatus_Name(response.status()));
    } else if (status.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED) {
      seen = status.error_message();
    }
    absl::SleepFor(std::min(kHealthPollInterval, deadline - absl::Now()));
  }
  return Explain(absl::DeadlineExceededError(
      absl::StrCat(target, " was not serving within ", absl::FormatDuration(timeout), ": ", seen)));
}

absl::Status Client::Explain(const absl::Status& status) const { return impl_->connector->Explain(status); }

}  // namespace flashcore
