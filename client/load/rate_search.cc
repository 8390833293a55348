#include "client/load/rate_search.h"

#include <algorithm>
#include <cmath>

namespace flashcore {

RateSearch::RateSearch(const RateSearchOptions& options) : options_(options) {}

bool RateSearch::narrow_enough() const {
  const double held = highest_held();
  return held >= options_.highest_rate || (held > 0 && failed_ > 0 && failed_ <= held * (1 + options_.resolution));
}

std::optional<double> RateSearch::Next() const {
  if (trials_ >= options_.max_trials) return std::nullopt;
  const double held = highest_held();
  if (narrow_enough()) return confirmations_ < kConfirmations ? std::optional<double>(held) : std::nullopt;
  if (held == 0 && failed_ == 0) return std::clamp(options_.first_rate, options_.lowest_rate, options_.highest_rate);
  if (failed_ == 0) return std::min(held * kGrowth, options_.highest_rate);
  if (held > 0) return std::sqrt(held * failed_);
  if (failed_ <= options_.lowest_rate) return std::nullopt;
  return std::max(failed_ / kGrowth, options_.lowest_rate);
}

void RateSearch::Report(Trial trial) {
  const std::optional<double> rate = Next();
  if (!rate.has_value()) return;
  ++trials_;
  if (trial == Trial::kHeld) {
    NoteHeld(*rate);
    return;
  }
  failed_ = *rate;
  client_limit_ = trial == Trial::kClientLimit;
  // A rate that fails to confirm had held by luck; those below it may still be right.
  while (highest_held() >= failed_) {
    held_.pop_back();
    careful_ = true;
  }
  confirmations_ = 0;
}

void RateSearch::NoteHeld(double rate) {
  if (rate == highest_held()) {
    ++confirmations_;
  } else if (careful_ && rate != held_once_) {
    held_once_ = rate;
  } else {
    held_.push_back(rate);
    confirmations_ = careful_ ? kConfirmations : 0;
  }
}

RateSearchResult RateSearch::Result() const {
  RateSearchResult result;
  if (!held_.empty()) result.rate = held_.back();
  if (failed_ > 0) result.failed_rate = failed_;
  result.confirmed = confirmations_ >= kConfirmations;
  result.client_limit = client_limit_;
  return result;
}

}  // namespace flashcore
