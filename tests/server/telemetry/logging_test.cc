#include "server/telemetry/logging.h"

#include <limits>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace flashcore {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

TEST(LoggingTest, TextFieldsAreKeyValuePairs) {
  EXPECT_EQ(RenderLogFields(LogFormat::kText, "listening",
                            {{"address", "127.0.0.1:1"}, {"port", 1}, {"reflection", true}, {"load", 0.5}}),
            "msg=listening address=127.0.0.1:1 port=1 reflection=true load=0.5");
}

TEST(LoggingTest, TextQuotesWhatCouldBeMisread) {
  EXPECT_EQ(RenderLogFields(LogFormat::kText, "two words", {{"empty", ""}, {"equals", "a=b"}, {"quote", "\""}}),
            R"(msg="two words" empty="" equals="a=b" quote="\"")");
}

TEST(LoggingTest, OneEventIsOneLineWhateverItHolds) {
  const std::string hostile = std::string("a\nb\r\0c\x1b[31m\xff", 12);
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    const std::string line = RenderLogFields(format, hostile, {{"value", hostile}});
    for (const char c : line) EXPECT_TRUE(c >= ' ' && c <= '~') << line;
  }
}

TEST(LoggingTest, JsonParsesBackToItsTypes) {
  const std::string line = absl::StrCat("{", RenderLogFields(LogFormat::kJson, "a \"message\"",
                                                             {{"text", "x\n\xff"},
                                                              {"count", int64_t{1} << 62},
                                                              {"flag", false},
                                                              {"ratio", 0.25},
                                                              {"infinite", std::numeric_limits<double>::infinity()},
                                                              {"status", absl::NotFoundError("no such file")}}));
  const nlohmann::json parsed = nlohmann::json::parse(line);
  EXPECT_EQ(parsed["msg"], "a \"message\"");
  EXPECT_EQ(parsed["text"], "x\n\xef\xbf\xbd") << "invalid UTF-8 is replaced";
  EXPECT_EQ(parsed["count"], int64_t{1} << 62);
  EXPECT_EQ(parsed["flag"], false);
  EXPECT_EQ(parsed["ratio"], 0.25);
  EXPECT_EQ(parsed["infinite"], "inf");
  EXPECT_EQ(parsed["status"], "NOT_FOUND: no such file");
}

TEST(LoggingTest, WritesLinesOfTheLevelToStderr) {
  SetUpLogging(LogLevel::kWarning, LogFormat::kText);
  testing::internal::CaptureStderr();
  LogInfo("quiet");
  LogWarning("loud", {{"n", 1}});
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_THAT(text, MatchesRegex("ts=20[0-9-]+T[0-9:]+\\.[0-9]+Z level=warning msg=loud n=1\n"));
}

TEST(LoggingTest, JsonLinesAreWhole) {
  SetUpLogging(LogLevel::kDebug, LogFormat::kJson);
  testing::internal::CaptureStderr();
  LogDebug("100% {} done");
  LogError("broken", {{"status", absl::InternalError("device lost")}});
  const std::string text = testing::internal::GetCapturedStderr();
  SetUpLogging(LogLevel::kInfo, LogFormat::kText);
  const size_t end_of_first = text.find('\n');
  const nlohmann::json first = nlohmann::json::parse(text.substr(0, end_of_first));
  EXPECT_EQ(first["msg"], "100% {} done");
  EXPECT_EQ(first["level"], "debug");
  const nlohmann::json second = nlohmann::json::parse(text.substr(end_of_first));
  EXPECT_EQ(second["level"], "error");
  EXPECT_EQ(second["status"], "INTERNAL: device lost");
  EXPECT_TRUE(second.contains("ts"));
}

TEST(LoggingTest, ParsesNames) {
  EXPECT_EQ(*ParseLogLevel("debug"), LogLevel::kDebug);
  EXPECT_EQ(*ParseLogLevel("error"), LogLevel::kError);
  EXPECT_EQ(*ParseLogFormat("json"), LogFormat::kJson);
  EXPECT_THAT(ParseLogLevel("loud").status().message(), HasSubstr("'loud'"));
  EXPECT_EQ(ParseLogFormat("").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace flashcore
