#include <grpcpp/channel.h>

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "client/channel.h"
#include "client/load/call_gauge.h"
#include "client/load/grpc_transport.h"
#include "client/load/request_stream.h"
#include "client/load/timer_queue.h"
#include "client/wire.h"
#include "kernels/base/mutex.h"

namespace flashcore {
namespace {

// How exactly a timeout is kept.
constexpr absl::Duration kTimeoutCheckInterval = absl::Milliseconds(100);
// How long a server may take to end a stream that this client has half-closed.
constexpr absl::Duration kCloseGrace = absl::Seconds(5);

// A channel and the stream that is open on it now.
class StreamSeat {
 public:
  StreamSeat(const TransportOptions& options, const Connector& connector,
             const std::vector<SerializedRequest>& requests, CallGauge& gauge, TimerQueue& timers)
      : options_(options),
        connector_(connector),
        requests_(requests),
        gauge_(gauge),
        timers_(timers),
        stub_(std::make_shared<RawStub>(connector.Connect())) {}

  void Start(const CallPlan& plan, Transport::Done done) {
    // A stream may break between the look and the use; a new one cannot have broken without failing this call itself.
    while (!Current()->Start(plan, done)) {
    }
  }

  void ExpireOldCalls() {
    if (const std::shared_ptr<RequestStream> stream = Peek(); stream != nullptr) stream->ExpireOldCalls();
  }

  void Close() {
    const std::shared_ptr<RequestStream> stream = Peek();
    if (stream == nullptr) return;
    stream->HalfClose();
    timers_.After(kCloseGrace, [weak = std::weak_ptr<RequestStream>(stream)] {
      if (const std::shared_ptr<RequestStream> live = weak.lock(); live != nullptr) live->Cancel();
    });
    const MutexLock lock(mutex_);
    stream_ = nullptr;
  }

 private:
  std::shared_ptr<RequestStream> Peek() {
    const MutexLock lock(mutex_);
    return stream_;
  }

  std::shared_ptr<RequestStream> Current() {
    const MutexLock lock(mutex_);
    if (stream_ == nullptr || stream_->broken()) {
      stream_ = RequestStream::Open({.timeout = options_.timeout, .slow_read = options_.slow_read}, connector_, stub_,
                                    requests_, gauge_, timers_);
    }
    return stream_;
  }

  const TransportOptions& options_;
  const Connector& connector_;
  const std::vector<SerializedRequest>& requests_;
  CallGauge& gauge_;
  TimerQueue& timers_;
  const std::shared_ptr<RawStub> stub_;
  Mutex mutex_;
  std::shared_ptr<RequestStream> stream_ ABSL_GUARDED_BY(mutex_);
};

class StreamTransport final : public Transport {
 public:
  StreamTransport(const TransportOptions& options, std::shared_ptr<const Connector> connector,
                  std::vector<SerializedRequest> requests)
      : options_(options), connector_(std::move(connector)), requests_(std::move(requests)) {
    for (int i = 0; i < options.channels; ++i) {
      seats_.push_back(std::make_unique<StreamSeat>(options_, *connector_, requests_, live_, *timers_));
    }
    if (options.timeout < absl::InfiniteDuration()) ExpireNowAndLater();
  }

  ~StreamTransport() override {
    for (const std::unique_ptr<StreamSeat>& seat : seats_) seat->Close();
    live_.WaitUntilZero();
    timers_.reset();
  }

  void Start(const CallPlan& plan, Done done) override {
    const size_t seat = next_seat_.fetch_add(1, std::memory_order_relaxed) % seats_.size();
    seats_[seat]->Start(plan, std::move(done));
  }

 private:
  void ExpireNowAndLater() {
    for (const std::unique_ptr<StreamSeat>& seat : seats_) seat->ExpireOldCalls();
    timers_->After(kTimeoutCheckInterval, [this] { ExpireNowAndLater(); });
  }

  const TransportOptions options_;
  const std::shared_ptr<const Connector> connector_;
  const std::vector<SerializedRequest> requests_;  // By PreparedRequest::index.
  CallGauge live_;
  std::unique_ptr<TimerQueue> timers_ = std::make_unique<TimerQueue>();
  std::vector<std::unique_ptr<StreamSeat>> seats_;
  std::atomic<size_t> next_seat_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Transport>> MakeStreamTransport(const TransportOptions& options,
                                                               const Workload& workload) {
  absl::StatusOr<std::shared_ptr<const Connector>> connector = Connector::Create(options.target, options.security);
  if (!connector.ok()) return connector.status();
  std::vector<SerializedRequest> requests;
  for (const PreparedRequest& request : workload.requests()) {
    absl::StatusOr<std::vector<grpc::Slice>> slices =
        EncodeAttendRequestSlices(request.q, request.k, request.v, request.options, request.priority);
    if (!slices.ok()) return slices.status();
    requests.emplace_back(*std::move(slices));
  }
  return std::make_unique<StreamTransport>(options, *std::move(connector), std::move(requests));
}

}  // namespace flashcore
