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
  for (int i = 0; i < 1000; ++i) errors.Record(absl::InternalError(std::string(static_cast<size_t>(i), 'x')), i);
  EXPECT_LE(errors.Kinds().size(), ErrorTable::kMaxKinds + 1);
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
