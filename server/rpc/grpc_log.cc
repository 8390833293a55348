#include "server/rpc/grpc_log.h"

#include <grpc/support/log.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/telemetry/logging.h"

namespace flashcore {
namespace {

constexpr int kMostLinesPerSecond = 10;

absl::string_view FileName(absl::string_view path) { return path.substr(path.rfind('/') + 1); }

void Log(gpr_log_func_args* line) {
  // gRPC gives its callback nothing to find it by.
  static LinesPerSecond lines(kMostLinesPerSecond);
  int64_t dropped = 0;
  if (!lines.Take(absl::ToUnixSeconds(absl::Now()), dropped)) return;
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

void TakeOverGrpcLog() { gpr_set_log_function(&Log); }

}  // namespace flashcore
