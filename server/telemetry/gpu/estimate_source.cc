#include "server/telemetry/gpu/estimate_source.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace flashcore {
namespace {

constexpr double kSecondsPerNs = 1e-9;

class EstimateSource : public CounterSource {
 public:
  EstimateSource(EstimateInputs inputs, const Clock& clock) : inputs_(std::move(inputs)), clock_(clock) {}

  absl::string_view name() const override { return "estimate"; }

  absl::Status Start() override {
    if (!inputs_.flops_per_clock.has_value()) {
      return absl::UnimplementedError("the peak of this chip's tensor cores is unknown, or the kernel uses none");
    }
    if (!inputs_.sm_clock_hertz().has_value()) return absl::UnavailableError("the GPU's clock is unknown");
    last_ns_ = clock_.NowNs();
    last_flops_ = inputs_.flops();
    return absl::OkStatus();
  }

  absl::StatusOr<CounterReading> Read() override {
    const int64_t now_ns = clock_.NowNs();
    const double flops = inputs_.flops();
    const double seconds = static_cast<double>(now_ns - std::exchange(last_ns_, now_ns)) * kSecondsPerNs;
    const double done = flops - std::exchange(last_flops_, flops);
    const std::optional<double> hertz = inputs_.sm_clock_hertz();
    if (!hertz.has_value()) return absl::UnavailableError("the GPU's clock is unknown");
    const double possible = *inputs_.flops_per_clock * *hertz * seconds;
    if (!(possible > 0)) return CounterReading{};
    return CounterReading{.tensor_ratio = std::clamp(done / possible, 0.0, 1.0), .sm_ratio = {}, .dram_ratio = {}};
  }

 private:
  EstimateInputs inputs_;
  const Clock& clock_;
  int64_t last_ns_ = 0;
  double last_flops_ = 0;
};

}  // namespace

std::unique_ptr<CounterSource> CreateEstimateSource(EstimateInputs inputs, const Clock& clock) {
  return std::make_unique<EstimateSource>(std::move(inputs), clock);
}

}  // namespace flashcore
