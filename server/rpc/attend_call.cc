#include "server/rpc/attend_call.h"

#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "server/rpc/message_view.h"
#include "server/rpc/staging.h"

namespace flashcore {
namespace {

// Where `pointer`, a const view into `block`, may be written.
std::byte* Writable(const HostBlock& block, const void* pointer) {
  return block.data() + (static_cast<const std::byte*>(pointer) - block.data());
}

int64_t OutputBytes(const AttentionProblem& problem) {
  const int64_t o_bytes = QueryElements(problem) * static_cast<int64_t>(SizeOf(problem.dtype));
  const int64_t lse_bytes = LseElements(problem) * static_cast<int64_t>(sizeof(float));
  return problem.lse == nullptr ? o_bytes : o_bytes + lse_bytes;
}

}  // namespace

AttendCall::AttendCall(const RpcServices& services, Method method, CallContext context)
    : services_(services),
      method_(method),
      context_(std::move(context)),
      arrived_ns_(services.clock.NowNs()),
      lap_ns_(arrived_ns_) {}

void AttendCall::Start(grpc::ByteBuffer& message, absl::AnyInvocable<void()> on_answer) {
  on_answer_ = std::move(on_answer);
  absl::Status status;
  {
    const MessageView view(message);
    status = Receive(view.chunks());
    if (status.ok()) status = Admit();
    if (status.ok()) CopyTensors(view.chunks());
  }
  if (!status.ok()) {
    Answer(status);
    return;
  }
  request_->done = [this](const absl::Status& outcome) { Answer(outcome); };
  services_.scheduler.Submit(request_);
}

absl::Status AttendCall::Receive(WireChunks chunks) {
  WireStreamRequest wire;
  absl::Status status;
  if (method_ == Method::kAttendStream) {
    status = ReadAttendStreamRequest(chunks, wire);
    stream_id_ = wire.id;
  } else {
    status = ReadAttendRequest(chunks, wire.request);
  }
  if (status.ok()) {
    absl::StatusOr<CheckedRequest> checked = CheckRequest(wire.request);
    status = checked.status();
    if (checked.ok()) checked_ = *checked;
  }
  if (!status.ok()) services_.metrics.RecordRejection(Rejection::kInvalid);
  record_.bytes_in = static_cast<int64_t>(checked_.q.length_bytes + checked_.k.length_bytes + checked_.v.length_bytes);
  record_.stages[Stage::kReceive] = Lap();
  return status;
}

absl::Status AttendCall::Admit() {
  absl::StatusOr<std::shared_ptr<Request>> request = services_.scheduler.Admit(
      checked_.problem, checked_.return_lse,
      {.deadline_ns = context_.deadline_ns, .priority = checked_.priority, .connection = context_.connection});
  record_.stages[Stage::kAdmit] = Lap();
  if (!request.ok()) return request.status();
  request_ = *std::move(request);
  const MutexLock lock(mutex_);
  if (cancelled_) return absl::CancelledError("the caller cancelled");
  cancellable_ = request_;
  return absl::OkStatus();
}

void AttendCall::CopyTensors(WireChunks chunks) {
  const AttentionProblem& problem = request_->problem;
  const std::pair<WireRange, const void*> tensors[] = {
      {checked_.q, problem.q}, {checked_.k, problem.k}, {checked_.v, problem.v}};
  if (request_->input.size_bytes() < kLeastBytesToShare) {
    for (const auto& [range, to] : tensors) CopyRange(chunks, range, Writable(request_->input, to));
  } else {
    std::vector<CopyPiece> pieces;
    pieces.reserve(request_->input.size_bytes() / kPieceBytes + std::size(tensors) * chunks.size());
    for (const auto& [range, to] : tensors) AppendPieces(chunks, range, Writable(request_->input, to), pieces);
    services_.copy_helpers.Copy(pieces);
  }
  record_.stages[Stage::kStage] = Lap();
}

void AttendCall::Cancel() {
  std::shared_ptr<Request> request;
  {
    const MutexLock lock(mutex_);
    cancelled_ = true;
    request = cancellable_;
  }
  if (request != nullptr) services_.scheduler.Cancel(request);
}

void AttendCall::Answer(const absl::Status& status) {
  const int64_t now_ns = services_.clock.NowNs();
  // The requests of a batch are answered one after the other: the wait for its turn is part of sending.
  answered_ns_ = request_ != nullptr && request_->computed_ns != 0 ? request_->computed_ns : now_ns;
  status_ = status;
  // gRPC cancels a call whose deadline passes: to the metrics the two are different things.
  if (absl::IsCancelled(status) && now_ns >= context_.deadline_ns) {
    status_ = absl::DeadlineExceededError("the deadline passed while the request waited");
  }
  // On the stack, as it may end in the destruction of this call.
  absl::AnyInvocable<void()> on_answer = std::move(on_answer_);
  on_answer();
}

int64_t AttendCall::Lap() {
  const int64_t now_ns = services_.clock.NowNs();
  return now_ns - std::exchange(lap_ns_, now_ns);
}

grpc::ByteBuffer AttendCall::TakeAnswer() {
  if (!status_.ok()) return WriteStreamError(stream_id_, status_);
  record_.bytes_out = OutputBytes(request_->problem);
  return method_ == Method::kAttendStream ? WriteStreamResponse(stream_id_, BuildAnswer())
                                          : WriteAttendResponse(BuildAnswer());
}

AttendAnswer AttendCall::BuildAnswer() {
  AttendAnswer answer{
      .problem = request_->problem, .layout = checked_.q_layout, .timing = {}, .output = std::move(request_->output)};
  v1::Timing& timing = answer.timing;
  timing.set_receive_ns(record_.stages[Stage::kReceive]);
  timing.set_admit_ns(record_.stages[Stage::kAdmit]);
  timing.set_stage_ns(record_.stages[Stage::kStage]);
  timing.set_queue_ns(request_->times[Stage::kQueue]);
  timing.set_upload_ns(request_->times[Stage::kUpload]);
  timing.set_compute_ns(request_->times[Stage::kCompute]);
  timing.set_download_ns(request_->times[Stage::kDownload]);
  timing.set_total_ns(services_.clock.NowNs() - arrived_ns_);
  timing.set_batch_size(static_cast<int32_t>(request_->batch_size));
  timing.set_kernel(std::string(request_->kernel));
  return answer;
}

void AttendCall::Finish(bool delivered) {
  const int64_t now_ns = services_.clock.NowNs();
  if (request_ != nullptr) {
    for (const Stage stage : {Stage::kQueue, Stage::kUpload, Stage::kCompute, Stage::kDownload}) {
      record_.stages[stage] = request_->times[stage];
    }
  }
  if (status_.ok() && !delivered) {
    record_.code = now_ns >= context_.deadline_ns ? absl::StatusCode::kDeadlineExceeded : absl::StatusCode::kCancelled;
  } else {
    record_.code = status_.code();
  }
  if (record_.code != absl::StatusCode::kOk) record_.bytes_out = 0;
  record_.method = method_;
  record_.stages[Stage::kSend] = now_ns - answered_ns_;
  record_.total_ns = now_ns - arrived_ns_;
  services_.metrics.RecordCall(record_);
  if (services_.slow_log.IsSlow(record_.total_ns)) LogSlow();
}

void AttendCall::LogSlow() {
  RequestContext context = {.shape = "", .request_id = stream_id_, .traceparent = context_.traceparent};
  if (request_ != nullptr) {
    const AttentionProblem& problem = request_->problem;
    context.shape = absl::StrJoin(
        {problem.batch, problem.num_qo_heads, problem.num_kv_heads, problem.q_len, problem.kv_len, problem.head_dim},
        ",");
    context.batch_requests = request_->batch_size;
  }
  services_.slow_log.Write(record_, context);
}

}  // namespace flashcore
