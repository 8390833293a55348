#include "server/rpc/grpc_log.h"

#include <grpc/support/log.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/telemetry/logging.h"

namespace flashcore {
namespace {

constexpr int kMostLinesPerSecond = 10;
constexpr absl::string_view kAcceptFailed = "Failed accept4";

absl::string_view FileName(absl::string_view path) { return path.substr(path.rfind('/') + 1); }

struct GrpcLog {
  LinesPerSecond lines{kMostLinesPerSecond};
  std::function<void(const std::string&)> on_deaf;
};

// gRPC gives its callback nothing to find it by. Never destroyed: gRPC's threads may log while the process exits.
GrpcLog& GetGrpcLog() {
  static auto& log = *new GrpcLog;
  return log;
}

void Log(gpr_log_func_args* line) {
  GrpcLog& log = GetGrpcLog();
  const bool deaf = absl::StartsWith(line->message, kAcceptFailed);
  if (deaf) log.on_deaf(absl::StrCat("a port takes no more connections: ", line->message));
  int64_t dropped = 0;
  if (!log.lines.Take(absl::ToUnixSeconds(absl::Now()), dropped)) return;
  LogWarning("grpc", {{"text", line->message},
                      {"source", absl::StrCat(FileName(line->file), ":", line->line)},
                      {"not_logged", dropped}});
}

}  // namespace

bool LinesPerSecond::Take(int64_t now_seconds, int64_t& dropped) {
  const MutexLock lock(mutex_);
  if (now_seconds != second_) {
    second_ = now_seconds;
    written_ = 0;
  }
  if (written_ == most_) {
    ++dropped_;
    return false;
  }
  ++written_;
  dropped = std::exchange(dropped_, 0);
  return true;
}

void TakeOverGrpcLog(std::function<void(const std::string&)> on_deaf) {
  GetGrpcLog().on_deaf = std::move(on_deaf);
  gpr_set_log_function(&Log);
}

}  // namespace flashcore
