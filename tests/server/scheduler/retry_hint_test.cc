#include "server/scheduler/retry_hint.h"

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace flashcore {
namespace {

TEST(RetryHintTest, TravelsWithTheStatus) {
  const absl::Status status = WithRetryAfter(absl::ResourceExhaustedError("full"), 250);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "full");
  EXPECT_EQ(RetryAfterMs(status), 250);
  EXPECT_EQ(RetryAfterMs(absl::Status(status)), 250) << "a copy's";
}

TEST(RetryHintTest, NoneUnlessGiven) {
  EXPECT_EQ(RetryAfterMs(absl::ResourceExhaustedError("too large for ever")), 0);
  EXPECT_EQ(RetryAfterMs(absl::OkStatus()), 0);
}

}  // namespace
}  // namespace flashcore
