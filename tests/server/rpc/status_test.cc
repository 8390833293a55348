#include "server/rpc/status.h"

#include <gtest/gtest.h>

#include "absl/status/status.h"

namespace flashcore {
namespace {

TEST(Status, KeepsCodeAndMessage) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  const grpc::Status status = ToGrpcStatus(absl::InvalidArgumentError("q.shape: got 1, want 2"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "q.shape: got 1, want 2");
}

TEST(Status, MapsEveryCodeOfTheContract) {
  const struct {
    absl::Status from;
    grpc::StatusCode to;
  } rows[] = {{absl::UnimplementedError("x"), grpc::StatusCode::UNIMPLEMENTED},
              {absl::ResourceExhaustedError("x"), grpc::StatusCode::RESOURCE_EXHAUSTED},
              {absl::DeadlineExceededError("x"), grpc::StatusCode::DEADLINE_EXCEEDED},
              {absl::CancelledError("x"), grpc::StatusCode::CANCELLED},
              {absl::UnavailableError("x"), grpc::StatusCode::UNAVAILABLE},
              {absl::InternalError("x"), grpc::StatusCode::INTERNAL}};
  for (const auto& row : rows) EXPECT_EQ(ToGrpcStatus(row.from).error_code(), row.to) << row.from;
}

}  // namespace
}  // namespace flashcore
