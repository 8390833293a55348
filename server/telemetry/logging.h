// The server's log: one line per event on stderr, as key=value pairs or as JSON.
//
//   LogInfo("listening", {{"address", address}, {"port", port}});
//
//   text  ts=2026-11-22T16:51:54.123456Z level=info msg=listening address=127.0.0.1:50051 port=50051
//   json {"ts":"2026-11-22T16:51:54.123456Z","level":"info","msg":"listening","address":"127.0.0.1:50051","port":50051}
//
// Times are UTC. A text value is quoted, as a JSON string, when it is empty or holds anything but printable ASCII
// without spaces, quotes and '='. Either way one event is one line, whatever its values hold.
//
// Events are rare: starting, stopping, faults. Requests are counted in metrics.h; slow_log.h logs a few, if asked to.
// Never log tensor data, credentials or whole messages.
//
// Thread-safe. Writes block on stderr. Not for signal handlers.
#ifndef FLASHCORE_SERVER_TELEMETRY_LOGGING_H_
#define FLASHCORE_SERVER_TELEMETRY_LOGGING_H_

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace flashcore {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError };
enum class LogFormat : uint8_t { kText, kJson };

// "debug", "info", "warning" or "error". INVALID_ARGUMENT otherwise.
absl::StatusOr<LogLevel> ParseLogLevel(absl::string_view name);
// "text" or "json". INVALID_ARGUMENT otherwise.
absl::StatusOr<LogFormat> ParseLogFormat(absl::string_view name);

// For the whole process, from here on. Without it: info, text.
void SetUpLogging(LogLevel level, LogFormat format);

// One key and its value. Keys are literals of ours: lower case and underscores, the unit last.
class LogField {
 public:
  LogField(absl::string_view key, absl::string_view value) : key_(key), value_(value), is_string_(true) {}
  LogField(absl::string_view key, const char* value) : LogField(key, absl::string_view(value)) {}
  LogField(absl::string_view key, const std::string& value) : LogField(key, absl::string_view(value)) {}
  // As "NOT_FOUND: no such file".
  LogField(absl::string_view key, const absl::Status& status) : LogField(key, status.ToString()) {}
  LogField(absl::string_view key, bool value) : key_(key), value_(value ? "true" : "false") {}
  template <std::integral T>
  LogField(absl::string_view key, T value) : key_(key), value_(std::to_string(value)) {}
  // Six significant digits; NaN and infinities as strings.
  LogField(absl::string_view key, double value);

  absl::string_view key() const { return key_; }
  absl::string_view value() const { return value_; }
  // Whether JSON quotes it.
  bool is_string() const { return is_string_; }

 private:
  std::string key_;
  std::string value_;
  bool is_string_ = false;
};

using LogFields = std::initializer_list<LogField>;

void LogDebug(absl::string_view message, LogFields fields = {});
void LogInfo(absl::string_view message, LogFields fields = {});
void LogWarning(absl::string_view message, LogFields fields = {});
void LogError(absl::string_view message, LogFields fields = {});

// A line without its time and level: what the functions above print after them.
std::string RenderLogFields(LogFormat format, absl::string_view message, LogFields fields);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_LOGGING_H_
