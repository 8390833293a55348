#include "server/telemetry/logging.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"
#include "spdlog/pattern_formatter.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace flashcore {
namespace {

constexpr absl::string_view kLevelNames[] = {"debug", "info", "warning", "error"};
constexpr absl::string_view kFormatNames[] = {"text", "json"};
constexpr std::array kSpdlogLevels = {spdlog::level::debug, spdlog::level::info, spdlog::level::warn,
                                      spdlog::level::err};

spdlog::level::level_enum ToSpdlog(LogLevel level) { return kSpdlogLevels[static_cast<size_t>(level)]; }

// RenderLogFields makes what follows the level.
const char* LinePattern(LogFormat format) {
  return format == LogFormat::kJson ? R"({"ts":"%Y-%m-%dT%H:%M:%S.%fZ","level":"%l",%v)"
                                    : "ts=%Y-%m-%dT%H:%M:%S.%fZ level=%l %v";
}

// The process's one log. A log belongs to the process as stderr does, so it is not passed around.
class ProcessLog {
 public:
  ProcessLog() : logger_("flashcore", std::make_shared<spdlog::sinks::stderr_sink_mt>()) {
    logger_.flush_on(spdlog::level::debug);
    Set(LogLevel::kInfo, LogFormat::kText);
  }

  void Set(LogLevel level, LogFormat format) {
    logger_.set_level(ToSpdlog(level));
    logger_.set_formatter(
        std::make_unique<spdlog::pattern_formatter>(LinePattern(format), spdlog::pattern_time_type::utc));
    format_ = format;
  }

  void Write(LogLevel level, absl::string_view message, LogFields fields) {
    if (!logger_.should_log(ToSpdlog(level))) return;
    const std::string line = RenderLogFields(format_, message, fields);
    logger_.log(ToSpdlog(level), spdlog::string_view_t(line.data(), line.size()));
  }

 private:
  spdlog::logger logger_;
  std::atomic<LogFormat> format_ = LogFormat::kText;
};

ProcessLog& GetProcessLog() {
  // Never destroyed: threads may log while the process exits.
  static auto& log = *new ProcessLog;
  return log;
}

std::string JsonString(absl::string_view value) {
  return nlohmann::json(std::string(value))
      .dump(/*indent=*/-1, /*indent_char=*/' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
}

bool IsBareWord(absl::string_view value) {
  return !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
    return absl::ascii_isgraph(static_cast<unsigned char>(c)) && c != '"' && c != '=' && c != '\\';
  });
}

std::string TextPair(absl::string_view key, absl::string_view value) {
  return absl::StrCat(key, "=", IsBareWord(value) ? std::string(value) : JsonString(value));
}

std::string JsonPair(const LogField& field) {
  return absl::StrCat(JsonString(field.key()), ":",
                      field.is_string() ? JsonString(field.value()) : std::string(field.value()));
}

}  // namespace

absl::StatusOr<LogLevel> ParseLogLevel(absl::string_view name) {
  const auto* const found = std::find(std::begin(kLevelNames), std::end(kLevelNames), name);
  if (found == std::end(kLevelNames)) {
    return absl::InvalidArgumentError(absl::StrCat("'", name, "' is not one of debug, info, warning, error"));
  }
  return static_cast<LogLevel>(found - std::begin(kLevelNames));
}

absl::StatusOr<LogFormat> ParseLogFormat(absl::string_view name) {
  const auto* const found = std::find(std::begin(kFormatNames), std::end(kFormatNames), name);
  if (found == std::end(kFormatNames)) {
    return absl::InvalidArgumentError(absl::StrCat("'", name, "' is not one of text, json"));
  }
  return static_cast<LogFormat>(found - std::begin(kFormatNames));
}

LogField::LogField(absl::string_view key, double value)
    : key_(key), value_(absl::StrFormat("%.6g", value)), is_string_(!std::isfinite(value)) {}

void SetUpLogging(LogLevel level, LogFormat format) { GetProcessLog().Set(level, format); }

void LogDebug(absl::string_view message, LogFields fields) { GetProcessLog().Write(LogLevel::kDebug, message, fields); }
void LogInfo(absl::string_view message, LogFields fields) { GetProcessLog().Write(LogLevel::kInfo, message, fields); }
void LogWarning(absl::string_view message, LogFields fields) {
  GetProcessLog().Write(LogLevel::kWarning, message, fields);
}
void LogError(absl::string_view message, LogFields fields) { GetProcessLog().Write(LogLevel::kError, message, fields); }

std::string RenderLogFields(LogFormat format, absl::string_view message, LogFields fields) {
  if (format == LogFormat::kText) {
    std::string line = TextPair("msg", message);
    for (const LogField& field : fields) absl::StrAppend(&line, " ", TextPair(field.key(), field.value()));
    return line;
  }
  std::string line = JsonPair(LogField("msg", message));
  for (const LogField& field : fields) absl::StrAppend(&line, ",", JsonPair(field));
  line += '}';
  return line;
}

}  // namespace flashcore
