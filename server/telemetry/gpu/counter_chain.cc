#include "server/telemetry/gpu/counter_chain.h"

#include <utility>

#include "server/telemetry/logging.h"

namespace flashcore {
namespace {

SourceState StateAfterRefusal(const absl::Status& refusal) {
  return absl::IsPermissionDenied(refusal) ? SourceState::kPermissionDenied : SourceState::kUnavailable;
}

}  // namespace

absl::string_view SourceStateName(SourceState state) {
  switch (state) {
    case SourceState::kStandby:
      return "standby";
    case SourceState::kActive:
      return "active";
    case SourceState::kPermissionDenied:
      return "permission_denied";
    case SourceState::kUnavailable:
      return "unavailable";
    case SourceState::kFailed:
      return "failed";
  }
  return "unknown";
}

CounterChain::CounterChain(std::vector<std::unique_ptr<CounterSource>> sources) : active_(sources.size()) {
  for (auto& source : sources) {
    std::string name(source->name());
    entries_.push_back({.name = std::move(name), .source = std::move(source)});
  }
}

void CounterChain::Start() { Advance(); }

void CounterChain::Advance() {
  failures_ = 0;
  for (active_ = 0; active_ < entries_.size(); ++active_) {
    Entry& entry = entries_[active_];
    if (entry.state != SourceState::kStandby) continue;
    const absl::Status status = entry.source->Start();
    if (status.ok()) {
      entry.state = SourceState::kActive;
      LogInfo("gpu counters", {{"source", entry.name}});
      return;
    }
    entry.state = StateAfterRefusal(status);
    // It may have got half of what it needs, which the next one may want.
    entry.source = nullptr;
    LogWarning("gpu counters not available", {{"source", entry.name}, {"status", status}});
  }
}

CounterReading CounterChain::Read() {
  if (active_ == entries_.size()) return {};
  Entry& entry = entries_[active_];
  absl::StatusOr<CounterReading> reading = entry.source->Read();
  if (reading.ok()) {
    failures_ = 0;
    return *reading;
  }
  if (++failures_ < kMostFailures) return {};
  entry.state = SourceState::kFailed;
  LogWarning("gpu counters lost", {{"source", entry.name}, {"status", reading.status()}});
  entry.source = nullptr;
  Advance();
  return {};
}

absl::string_view CounterChain::active() const {
  return active_ < entries_.size() ? absl::string_view(entries_[active_].name) : absl::string_view();
}

std::vector<SourceStatus> CounterChain::statuses() const {
  std::vector<SourceStatus> statuses;
  for (const Entry& entry : entries_) statuses.push_back({.name = entry.name, .state = entry.state});
  return statuses;
}

}  // namespace flashcore
