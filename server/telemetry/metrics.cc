#include "server/telemetry/metrics.h"

#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "prometheus/collectable.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "server/telemetry/family.h"
#include "server/telemetry/text_format.h"

namespace flashcore {
namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Labels;
using prometheus::Registry;

constexpr size_t kNumCodes = static_cast<size_t>(absl::StatusCode::kUnauthenticated) + 1;
constexpr std::array<const char*, kNumRejections> kRejectionNames = {"invalid",    "unsupported", "too_large",
                                                                     "queue_full", "memory_full", "connection_share",
                                                                     "draining",   "deadline",    "device_fault"};

// Seven bounds per decade: neighbours are at most half apart, and an interpolated quantile errs by less.
constexpr std::array kBoundsPerDecade = {1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.5};
// Stages reach down to a small kernel, requests to a local round trip.
constexpr double kLeastStageSeconds = 1e-6;
constexpr double kLeastRequestSeconds = 50e-6;
constexpr double kGreatestSeconds = 10.0;
constexpr double kSecondsPerNs = 1e-9;
constexpr double kLeastBatchBytes = 1024.0;
constexpr double kGreatestBatchBytes = 1024.0 * 1024 * 1024;
constexpr double kGreatestBatchRequests = 128;
constexpr double kLeastBatchFlops = 1e6;
constexpr double kGreatestBatchFlops = 1e13;

// Bounds from `least` to `greatest`, both included. Written as decimals, so that they read well as `le` labels.
std::vector<double> DurationBounds(double least, double greatest) {
  constexpr double kRoundingSlack = 1e-9;
  std::vector<double> bounds;
  for (int exponent = static_cast<int>(std::floor(std::log10(least))); std::pow(10.0, exponent) <= greatest;
       ++exponent) {
    for (const double step : kBoundsPerDecade) {
      const double bound = std::stod(absl::StrCat(step, "e", exponent));
      if (bound >= least * (1 - kRoundingSlack) && bound <= greatest * (1 + kRoundingSlack)) bounds.push_back(bound);
    }
  }
  return bounds;
}

std::vector<double> GeometricBounds(double least, double greatest, double factor) {
  std::vector<double> bounds = {least};
  while (bounds.back() * factor <= greatest) bounds.push_back(bounds.back() * factor);
  return bounds;
}

Gauge& AddGauge(Registry& registry, const std::string& name, const std::string& help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
}

Counter& AddCounter(Registry& registry, const std::string& name, const std::string& help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add({});
}

Histogram& AddHistogram(Registry& registry, const std::string& name, const std::string& help,
                        const std::vector<double>& bounds) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add({}, bounds);
}

}  // namespace

// The registry owns the series; these are the pointers that the hot path writes through.
struct Metrics::Series : public prometheus::Collectable {
  explicit Series(const ServerFacts& facts);

  std::vector<prometheus::MetricFamily> Collect() const override {
    if (bytes_in_flight_source) bytes_in_flight->Set(static_cast<double>(bytes_in_flight_source()));
    std::vector<prometheus::MetricFamily> families = registry.Collect();
    if (kernel_launches_source) AppendKernelLaunches(families);
    return families;
  }

  Registry registry;
  std::array<std::array<Counter*, kNumCodes>, kNumMethods> requests = {};
  std::array<Histogram*, kNumMethods> request_duration = {};
  std::array<Histogram*, kNumStages> stage_duration = {};
  std::array<Counter*, kNumRejections> rejections = {};
  Counter* received_bytes = nullptr;
  Counter* sent_bytes = nullptr;
  Counter* batches = nullptr;
  Counter* flops = nullptr;
  Histogram* batch_requests = nullptr;
  Histogram* batch_bytes = nullptr;
  Histogram* batch_flops = nullptr;
  std::vector<Counter*> device_batches;
  std::vector<Counter*> device_flops;
  Gauge* requests_in_flight = nullptr;
  Gauge* queue_length = nullptr;
  std::array<Gauge*, kNumPriorities> priority_queue_length = {};
  Gauge* lanes_busy = nullptr;
  Gauge* bytes_in_flight = nullptr;
  std::function<int64_t()> bytes_in_flight_source;
  std::function<std::vector<KernelLaunches>()> kernel_launches_source;

 private:
  void AppendKernelLaunches(std::vector<prometheus::MetricFamily>& families) const;
  void AddCalls();
  void AddStages();
  void AddBatches();
  void AddGauges();
  void AddFacts(const ServerFacts& facts);

  const std::vector<int> devices_;
};

Metrics::Series::Series(const ServerFacts& facts) : devices_(facts.devices) {
  AddCalls();
  AddStages();
  AddBatches();
  AddGauges();
  AddFacts(facts);
}

void Metrics::Series::AddCalls() {
  auto& requests_family = prometheus::BuildCounter()
                              .Name("flashcore_requests_total")
                              .Help("Finished requests by method and gRPC code; each request of a stream counts.")
                              .Register(registry);
  auto& duration_family =
      prometheus::BuildHistogram()
          .Name("flashcore_request_duration_seconds")
          .Help("From the arrival of the complete request to the end of sending its answer, whatever the code.")
          .Register(registry);
  const std::vector<double> bounds = DurationBounds(kLeastRequestSeconds, kGreatestSeconds);
  for (size_t method = 0; method < kNumMethods; ++method) {
    for (size_t code = 0; code < kNumCodes; ++code) {
      const std::string code_name = absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
      requests[method][code] =
          &requests_family.Add({{"method", std::string(kMethodNames[method])}, {"code", code_name}});
    }
    request_duration[method] = &duration_family.Add({{"method", std::string(kMethodNames[method])}}, bounds);
  }
  received_bytes = &AddCounter(registry, "flashcore_received_bytes_total", "Tensor bytes received in requests.");
  sent_bytes = &AddCounter(registry, "flashcore_sent_bytes_total", "Tensor bytes sent in answers.");
}

void Metrics::Series::AddStages() {
  auto& stage_family = prometheus::BuildHistogram()
                           .Name("flashcore_stage_duration_seconds")
                           .Help("Time of a request in each stage; upload, compute and download are its batch's.")
                           .Register(registry);
  const std::vector<double> bounds = DurationBounds(kLeastStageSeconds, kGreatestSeconds);
  for (size_t stage = 0; stage < kNumStages; ++stage) {
    stage_duration[stage] = &stage_family.Add({{"stage", std::string(kStageNames[stage])}}, bounds);
  }
  auto& rejections_family = prometheus::BuildCounter()
                                .Name("flashcore_rejections_total")
                                .Help("Requests turned away before any compute, by reason.")
                                .Register(registry);
  for (size_t reason = 0; reason < kNumRejections; ++reason) {
    rejections[reason] = &rejections_family.Add({{"reason", kRejectionNames[reason]}});
  }
}

void Metrics::Series::AddBatches() {
  batches = &AddCounter(registry, "flashcore_batches_total",
                        "Batches computed; each takes one launch, or a few where it mixes head_dims or types.");
  flops = &AddCounter(registry, "flashcore_flops_total",
                      "Floating-point operations computed: 4 * head_dim per visible query-key pair and query head.");
  batch_requests = &AddHistogram(registry, "flashcore_batch_requests", "Requests in a batch.",
                                 GeometricBounds(1, kGreatestBatchRequests, 2));
  batch_bytes = &AddHistogram(registry, "flashcore_batch_bytes", "Tensor bytes of a batch, in and out.",
                              GeometricBounds(kLeastBatchBytes, kGreatestBatchBytes, 4));
  batch_flops = &AddHistogram(registry, "flashcore_batch_flops", "Floating-point operations of a batch.",
                              GeometricBounds(kLeastBatchFlops, kGreatestBatchFlops, 10));
}

void Metrics::Series::AddGauges() {
  requests_in_flight = &AddGauge(registry, "flashcore_requests_in_flight", "Requests admitted and not yet finished.");
  queue_length = &AddGauge(registry, "flashcore_queue_length", "Requests admitted and not yet on a lane.");
  auto& by_priority = prometheus::BuildGauge()
                          .Name("flashcore_priority_queue_length")
                          .Help("flashcore_queue_length by priority.")
                          .Register(registry);
  for (size_t priority = 0; priority < kNumPriorities; ++priority) {
    priority_queue_length[priority] = &by_priority.Add({{"priority", std::string(kPriorityNames[priority])}});
  }
  lanes_busy = &AddGauge(registry, "flashcore_lanes_busy", "Lanes that carry a batch.");
  bytes_in_flight = &AddGauge(registry, "flashcore_in_flight_bytes", "Staging memory in use by requests and answers.");
}

void Metrics::Series::AddFacts(const ServerFacts& facts) {
  prometheus::BuildGauge()
      .Name("flashcore_build_info")
      .Help("Always 1; the labels say what this server is.")
      .Register(registry)
      .Add({{"version", facts.version}, {"backend", facts.backend}, {"device", facts.device}, {"kernel", facts.kernel}})
      .Set(1);
  auto& device_family = prometheus::BuildCounter()
                            .Name("flashcore_device_batches_total")
                            .Help("flashcore_batches_total by device, as --devices numbers them.")
                            .Register(registry);
  auto& flops_family = prometheus::BuildCounter()
                           .Name("flashcore_device_flops_total")
                           .Help("flashcore_flops_total by device.")
                           .Register(registry);
  for (const int device : facts.devices) {
    device_batches.push_back(&device_family.Add({{"device", absl::StrCat(device)}}));
    device_flops.push_back(&flops_family.Add({{"device", absl::StrCat(device)}}));
  }
  const auto add_bound = [this](const char* name, const char* help, int64_t value) {
    AddGauge(registry, name, help).Set(static_cast<double>(value));
  };
  add_bound("flashcore_max_queue_length", "Bound of flashcore_queue_length.", facts.max_queue_length);
  add_bound("flashcore_max_in_flight_bytes", "Bound of flashcore_in_flight_bytes.", facts.max_bytes_in_flight);
  add_bound("flashcore_max_message_bytes", "Largest message accepted.", facts.max_message_bytes);
  add_bound("flashcore_max_batch_requests", "Most requests in a batch.", facts.max_batch_requests);
  add_bound("flashcore_max_batch_bytes", "Most tensor bytes of a batch, in and out.", facts.max_batch_bytes);
  AddGauge(registry, "flashcore_max_batch_flops", "Most floating-point operations of a batch of several requests.")
      .Set(facts.max_batch_flops);
  add_bound("flashcore_lanes", "Bound of flashcore_lanes_busy.", facts.lanes);
}

void Metrics::Series::AppendKernelLaunches(std::vector<prometheus::MetricFamily>& families) const {
  std::vector<Sample> samples;
  for (const auto& [device, kernel, launches] : kernel_launches_source()) {
    samples.push_back(
        {{{"device", absl::StrCat(devices_[device])}, {"kernel", kernel}}, static_cast<double>(launches)});
  }
  AppendCounter(families, "flashcore_kernel_launches_total",
                "Kernels launched, those of the self-test included, by device and kernel.", samples);
}

Metrics::Metrics(const ServerFacts& facts) : series_(std::make_shared<Series>(facts)) {}
Metrics::~Metrics() = default;

void Metrics::RecordCall(const CallRecord& record) {
  const auto method = static_cast<size_t>(record.method);
  // A peer may send a code outside the enumeration; it is as unknown as kUnknown.
  const auto raw_code = static_cast<size_t>(record.code);
  const size_t code = raw_code < kNumCodes ? raw_code : static_cast<size_t>(absl::StatusCode::kUnknown);
  series_->requests[method][code]->Increment();
  series_->request_duration[method]->Observe(static_cast<double>(record.total_ns) * kSecondsPerNs);
  for (size_t stage = 0; stage < kNumStages; ++stage) {
    const int64_t ns = record.stages.ns[stage];
    if (ns != 0) series_->stage_duration[stage]->Observe(static_cast<double>(ns) * kSecondsPerNs);
  }
  if (record.bytes_in != 0) series_->received_bytes->Increment(static_cast<double>(record.bytes_in));
  if (record.bytes_out != 0) series_->sent_bytes->Increment(static_cast<double>(record.bytes_out));
}

int64_t Metrics::RecordedCalls(absl::StatusCode code) const {
  double calls = 0;
  for (const auto& by_code : series_->requests) calls += by_code[static_cast<size_t>(code)]->Value();
  return static_cast<int64_t>(calls);
}

void Metrics::RecordBatch(const BatchRecord& record) {
  series_->batches->Increment();
  series_->device_batches[record.device]->Increment();
  series_->flops->Increment(record.flops);
  series_->device_flops[record.device]->Increment(record.flops);
  series_->batch_requests->Observe(static_cast<double>(record.requests));
  series_->batch_bytes->Observe(static_cast<double>(record.bytes));
  series_->batch_flops->Observe(record.flops);
}

void Metrics::RecordRejection(Rejection reason) { series_->rejections[static_cast<size_t>(reason)]->Increment(); }

double Metrics::DeviceFlops(size_t device) const { return series_->device_flops[device]->Value(); }

void Metrics::AddRequestsInFlight(int64_t delta) { series_->requests_in_flight->Increment(static_cast<double>(delta)); }
void Metrics::AddQueueLength(Priority priority, int64_t delta) {
  series_->queue_length->Increment(static_cast<double>(delta));
  series_->priority_queue_length[static_cast<size_t>(priority)]->Increment(static_cast<double>(delta));
}
void Metrics::AddLanesBusy(int64_t delta) { series_->lanes_busy->Increment(static_cast<double>(delta)); }

void Metrics::SetBytesInFlightSource(std::function<int64_t()> source) {
  series_->bytes_in_flight_source = std::move(source);
}

void Metrics::SetKernelLaunchesSource(std::function<std::vector<KernelLaunches>()> source) {
  series_->kernel_launches_source = std::move(source);
}

std::shared_ptr<prometheus::Collectable> Metrics::collectable() const { return series_; }

std::string Metrics::ExpositionText() const { return ToTextFormat(series_->Collect()); }

}  // namespace flashcore
