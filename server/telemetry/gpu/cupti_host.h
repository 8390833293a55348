// The part of CUPTI that needs no GPU: which metrics a chip has, how its counters are to be configured, and what their
// records mean. Only in builds that have CUPTI's header.
#ifndef FLASHCORE_SERVER_TELEMETRY_GPU_CUPTI_HOST_H_
#define FLASHCORE_SERVER_TELEMETRY_GPU_CUPTI_HOST_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/telemetry/gpu/counter_source.h"
#include "server/telemetry/gpu/cupti_library.h"

namespace flashcore {

// A chip with the metrics that are sampled on it. Used by one thread at a time.
class CuptiHost {
 public:
  // Tries the names that chips have for our metrics, best first, and takes the first that schedule in one pass; a chip
  // without DRAM of its own goes without it. `availability` is what the driver leaves to us, empty for everything.
  // UNIMPLEMENTED: CUPTI does not know the chip, or nothing schedules.
  static absl::StatusOr<std::unique_ptr<CuptiHost>> Create(const std::shared_ptr<const CuptiLibrary>& library,
                                                           const std::string& chip,
                                                           absl::Span<const uint8_t> availability);
  ~CuptiHost();
  CuptiHost(const CuptiHost&) = delete;
  CuptiHost& operator=(const CuptiHost&) = delete;

  const std::vector<const char*>& metrics() const { return metrics_; }
  const std::vector<uint8_t>& config_image() const { return config_image_; }
  size_t passes() const { return passes_; }

  // The metrics of one sample of a counter data image.
  absl::StatusOr<CounterReading> Evaluate(absl::Span<const uint8_t> image, size_t sample) const;

 private:
  CuptiHost(std::shared_ptr<const CuptiLibrary> library, std::vector<const char*> metrics)
      : library_(std::move(library)), metrics_(std::move(metrics)) {}
  absl::Status Configure(const std::string& chip, absl::Span<const uint8_t> availability);
  absl::Status ReadConfigImage();

  std::shared_ptr<const CuptiLibrary> library_;
  std::vector<const char*> metrics_;  // Tensor pipes, SMs, and DRAM where the chip has it. Literals.
  CUpti_Profiler_Host_Object* object_ = nullptr;
  std::vector<uint8_t> config_image_;
  size_t passes_ = 0;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_GPU_CUPTI_HOST_H_
