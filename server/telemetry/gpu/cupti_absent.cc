// What takes the place of cupti_source.cc in a build without CUPTI's header.
#include "absl/status/status.h"
#include "server/telemetry/gpu/cupti.h"

namespace flashcore {
namespace {

absl::Status NotBuilt() { return absl::FailedPreconditionError("this build has no CUPTI: its header was not there"); }

class AbsentSource : public CounterSource {
 public:
  absl::string_view name() const override { return "cupti"; }
  absl::Status Start() override { return NotBuilt(); }
  absl::StatusOr<CounterReading> Read() override { return NotBuilt(); }
};

}  // namespace

absl::StatusOr<CuptiPlan> PlanCuptiCounters(const std::string& /*chip*/) { return NotBuilt(); }

std::unique_ptr<CounterSource> CreateCuptiSource(int /*device_ordinal*/) { return std::make_unique<AbsentSource>(); }

}  // namespace flashcore
