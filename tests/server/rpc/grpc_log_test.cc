#include "server/rpc/grpc_log.h"

#include <grpc/support/log.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace flashcore {
namespace {

TEST(GrpcLogTest, SoManyLinesInASecond) {
  LinesPerSecond lines(2);
  int64_t dropped = -1;
  EXPECT_TRUE(lines.Take(7, dropped));
  EXPECT_EQ(dropped, 0);
  EXPECT_TRUE(lines.Take(7, dropped));
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(lines.Take(7, dropped));
  EXPECT_TRUE(lines.Take(8, dropped));
  EXPECT_EQ(dropped, 5);
  EXPECT_TRUE(lines.Take(8, dropped));
  EXPECT_EQ(dropped, 0);
  EXPECT_FALSE(lines.Take(8, dropped));
  EXPECT_TRUE(lines.Take(3, dropped));  // The clock was put back.
}

TEST(GrpcLogTest, LinesOfGrpcAreOurs) {
  gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
  std::vector<std::string> deaf;
  TakeOverGrpcLog([&deaf](const std::string& text) { deaf.push_back(text); });
  ::testing::internal::CaptureStderr();
  gpr_log("/some/where/file.cc", 12, GPR_LOG_SEVERITY_ERROR, "two %s", "words");
  EXPECT_TRUE(deaf.empty());
  gpr_log("/some/where/file.cc", 13, GPR_LOG_SEVERITY_ERROR, "Failed accept4: Too many open files");
  EXPECT_EQ(deaf.size(), 1u);
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find("level=warning msg=grpc text=\"two words\" source=file.cc:12 not_logged=0"), std::string::npos)
      << text;
}

}  // namespace
}  // namespace flashcore
