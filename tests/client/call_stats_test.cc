#include "client/load/call_stats.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace flashcore {
namespace {

constexpr int64_t kMs = 1'000'000;

CallOutcome Failed(absl::Status status) {
  CallOutcome outcome;
  outcome.status = std::move(status);
  return outcome;
}

TEST(CallStatsTest, LatencyCountsFromWhenTheCallWasDueAndFromTheSend) {
  CallStats stats;
  stats.Record({.intended_ns = 10 * kMs, .sent_ns = 40 * kMs, .ended_ns = 45 * kMs}, 0, {}, {});
  EXPECT_EQ(stats.latency.max(), 35 * kMs);
  EXPECT_EQ(stats.send_latency.max(), 5 * kMs);
  EXPECT_EQ(stats.send_delay.max(), 30 * kMs);
  EXPECT_EQ(stats.late, 1);
}

TEST(CallStatsTest, ASendThatWasHeldBackIsNotTheClientsFault) {
  CallStats stats;
  stats.Record({.intended_ns = 0, .sent_ns = 40 * kMs, .ended_ns = 41 * kMs, .held_back = true}, 0, {}, {});
  EXPECT_EQ(stats.late, 0);
  EXPECT_EQ(stats.held_back, 1);
  EXPECT_EQ(stats.send_delay.count(), 0);
  EXPECT_EQ(stats.latency.max(), 41 * kMs);
}

TEST(CallStatsTest, CancelledOnPurposeIsNeitherAnsweredNorFailed) {
  CallStats stats;
  CallOutcome outcome = Failed(absl::CancelledError("by us"));
  outcome.cancelled_by_plan = true;
  stats.Record({}, 0, {}, outcome);
  stats.Record({}, 0, {}, Failed(absl::CancelledError("by them")));
  EXPECT_EQ(stats.cancelled, 1);
  EXPECT_EQ(stats.failed(), 1);
  EXPECT_EQ(stats.ended(), 2);
}

TEST(CallStatsTest, MergingIsRecordingInOne) {
  const auto record = [](CallStats& stats, int64_t sent_ns, const char* kernel) {
    PreparedRequest request;
    request.bytes = 100;
    request.flops = 1000;
    CallOutcome outcome;
    outcome.bytes_received = 10;
    outcome.timing = {.queue_ns = 5, .total_ns = 7, .batch_size = 2, .kernel = kernel};
    stats.Record({.intended_ns = 0, .sent_ns = sent_ns, .ended_ns = sent_ns + kMs}, 0, request, outcome);
  };
  CallStats merged;
  CallStats other;
  record(other, 0, "test/k");
  record(other, 3 * kMs, "test/other");
  other.check_skipped = 4;
  other.check_waits = 5;
  merged.Merge(other);
  merged.Merge(other);
  EXPECT_EQ(merged.answered(), 4);
  EXPECT_EQ(merged.send_latency.count(), 4);
  EXPECT_EQ(merged.send_delay.count(), 4);
  EXPECT_EQ(merged.server_total.max(), 7);
  EXPECT_EQ(merged.late, 2);
  EXPECT_EQ(merged.check_skipped, 8);
  EXPECT_EQ(merged.check_waits, 10);
  EXPECT_EQ(merged.bytes_sent, 400);
  EXPECT_EQ(merged.bytes_received, 40);
  EXPECT_EQ(merged.flops, 4000);
  EXPECT_EQ(merged.last_end_ns, 4 * kMs);
  EXPECT_EQ(merged.server.queue_ns, 20);
  EXPECT_EQ(merged.server.batch_size, 8);
  EXPECT_EQ(merged.kernel, "test/k") << "that answered first";
  ASSERT_EQ(merged.timeline.intervals().size(), 1U);
  EXPECT_EQ(merged.timeline.intervals()[0].answered, 4);
}

TEST(ErrorTableTest, MessagesThatDifferInNumbersAreOneKind) {
  ErrorTable errors;
  errors.Record(absl::InvalidArgumentError("k.shape: got 3 heads"), 20);
  errors.Record(absl::InvalidArgumentError("k.shape: got 16 heads"), 10);
  errors.Record(absl::InvalidArgumentError("q.dtype: missing"), 30);
  const std::vector<ErrorKind> kinds = errors.Kinds();
  ASSERT_EQ(kinds.size(), 2U);
  EXPECT_EQ(kinds[0].count, 2);
  EXPECT_EQ(kinds[0].first_message, "k.shape: got 3 heads");
  EXPECT_EQ(errors.total(absl::StatusCode::kInvalidArgument), 3);
}

TEST(ErrorTableTest, TooManyKindsAreCountedByCode) {
  ErrorTable errors;
  for (int i = 1; i <= 1000; ++i) errors.Record(absl::InternalError(std::string(static_cast<size_t>(i), 'x')), i);
  EXPECT_EQ(errors.Kinds().size(), ErrorTable::kMaxKinds + 1);
  EXPECT_EQ(errors.total(), 1000);
}

TEST(ErrorTableTest, MergingKeepsTheFirst) {
  ErrorTable late;
  ErrorTable early;
  late.Record(absl::UnavailableError("port 7"), 100);
  early.Record(absl::UnavailableError("port 8"), 50);
  late.Merge(early);
  ASSERT_EQ(late.Kinds().size(), 1U);
  EXPECT_EQ(late.Kinds()[0].first_message, "port 8");
  EXPECT_EQ(late.Kinds()[0].first_offset_ns, 50);
  EXPECT_EQ(late.Kinds()[0].count, 2);
}

TEST(ErrorTableTest, CountsRetryHints) {
  ErrorTable errors;
  absl::Status full = absl::ResourceExhaustedError("full");
  SetRetryAfter(full, "20");
  errors.Record(full, 0);
  errors.Record(absl::ResourceExhaustedError("full"), 0);
  EXPECT_EQ(errors.Kinds()[0].with_retry_hint, 1);
}

}  // namespace
}  // namespace flashcore
