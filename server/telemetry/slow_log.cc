#include "server/telemetry/slow_log.h"

#include <cstddef>
#include <utility>

#include "absl/status/status.h"
#include "server/telemetry/logging.h"
#include "server/telemetry/stage.h"

namespace flashcore {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr int64_t kNsPerUs = 1000;

}  // namespace

void SlowLog::Write(const CallRecord& record, const RequestContext& context) {
  int64_t not_logged = 0;
  if (!MayWrite(not_logged)) return;
  const auto us = [&record](Stage stage) { return record.stages[stage] / kNsPerUs; };
  LogWarning("slow_request", {{"method", kMethodNames[static_cast<size_t>(record.method)]},
                              {"code", absl::StatusCodeToString(record.code)},
                              {"total_us", record.total_ns / kNsPerUs},
                              {"receive_us", us(Stage::kReceive)},
                              {"admit_us", us(Stage::kAdmit)},
                              {"stage_us", us(Stage::kStage)},
                              {"queue_us", us(Stage::kQueue)},
                              {"upload_us", us(Stage::kUpload)},
                              {"compute_us", us(Stage::kCompute)},
                              {"download_us", us(Stage::kDownload)},
                              {"send_us", us(Stage::kSend)},
                              {"bytes_in", record.bytes_in},
                              {"bytes_out", record.bytes_out},
                              {"shape", context.shape},
                              {"batch_requests", context.batch_requests},
                              {"request_id", context.request_id},
                              {"traceparent", context.traceparent},
                              {"not_logged", not_logged}});
}

bool SlowLog::MayWrite(int64_t& not_logged) {
  const MutexLock lock(mutex_);
  const int64_t now_ns = clock_.NowNs();
  if (now_ns - second_began_ns_ >= kNsPerSecond) {
    second_began_ns_ = now_ns;
    written_ = 0;
  }
  if (written_ == kMostPerSecond) {
    ++not_logged_;
    return false;
  }
  ++written_;
  not_logged = std::exchange(not_logged_, 0);
  return true;
}

}  // namespace flashcore
