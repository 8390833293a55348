// Chooses among the sources of counters: the first that starts is read until it fails for good, then the next one.
#ifndef FLASHCORE_SERVER_TELEMETRY_GPU_COUNTER_CHAIN_H_
#define FLASHCORE_SERVER_TELEMETRY_GPU_COUNTER_CHAIN_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/telemetry/gpu/counter_source.h"

namespace flashcore {

enum class SourceState : uint8_t {
  kStandby,           // Not needed so far: one before it works.
  kActive,            // Being read.
  kPermissionDenied,  // Refused by the driver.
  kUnavailable,       // Cannot work here.
  kFailed,            // Worked, and no longer does.
};
// As in the label `state`.
absl::string_view SourceStateName(SourceState state);

struct SourceStatus {
  std::string name;
  SourceState state = SourceState::kStandby;
};

// Logs each source that it starts and each that it has to give up, once. Used by one thread at a time.
class CounterChain {
 public:
  // Failures of Read in a row after which a source is given up.
  static constexpr int kMostFailures = 3;

  // In order of preference. May be empty.
  explicit CounterChain(std::vector<std::unique_ptr<CounterSource>> sources);

  // Starts the first source that will. Blocks as long as all of them do.
  void Start();

  // The active source's reading; empty where there is none or it failed this time.
  CounterReading Read();

  // Empty if none works.
  absl::string_view active() const;
  // In order of preference.
  std::vector<SourceStatus> statuses() const;

 private:
  struct Entry {
    std::string name;
    std::unique_ptr<CounterSource> source;  // Null once it was refused or failed.
    SourceState state = SourceState::kStandby;
  };

  // Makes the first standby source that starts the active one.
  void Advance();

  std::vector<Entry> entries_;
  size_t active_ = 0;  // entries_.size() if there is none.
  int failures_ = 0;   // Of the active source, in a row.
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_GPU_COUNTER_CHAIN_H_
