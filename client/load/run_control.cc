#include "client/load/run_control.h"

namespace flashcore {

void RunControl::Begin() {
  run_start_ns_ = clock_.NowNs();
  last_answer_ns_ = run_start_ns_;
  measure_start_ns_ = AfterNs(run_start_ns_, phases_.warmup);
  measure_end_ns_ = AfterNs(measure_start_ns_, phases_.duration);
}

Permit RunControl::MayStart(int64_t due_ns) {
  if (stopping()) return Permit::kNone;
  if (due_ns < measure_start_ns_) return Permit::kUnmeasured;
  if (phases_.requests > 0) {
    const int64_t before = requests_started_.fetch_add(1, std::memory_order_relaxed);
    return before < phases_.requests ? Permit::kMeasured : Permit::kNone;
  }
  return due_ns < measure_end_ns_ ? Permit::kMeasured : Permit::kNone;
}

void RunControl::NoteOutcome(bool answered, bool measured) {
  if (answered) {
    last_answer_ns_.store(clock_.NowNs(), std::memory_order_relaxed);
    failed_since_answer_.store(0, std::memory_order_relaxed);
  } else {
    failed_since_answer_.fetch_add(1, std::memory_order_relaxed);
  }
  if (measured) (answered ? answered_ : failed_).fetch_add(1, std::memory_order_relaxed);
}

void RunControl::Stop() {
  stopped_by_caller_ = true;
  stopping_ = true;
}

void RunControl::GiveUpIfHopeless() {
  if (stopping() || failed_since_answer_.load(std::memory_order_relaxed) == 0) return;
  if (clock_.NowNs() < AfterNs(last_answer_ns_.load(std::memory_order_relaxed), phases_.give_up_after)) return;
  gave_up_ = true;
  stopping_ = true;
}

}  // namespace flashcore
