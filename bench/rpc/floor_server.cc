// flashcore_rpc_floor: what gRPC alone can do. It takes the requests of flashcore.v1.AttentionService over the same raw
// callback API as flashcore_server, looks at no tensor, and answers with a third as many bytes as came, which is what
// attention answers where Q, K and V are of one shape. Whatever a server does beyond this is its own cost.
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/server_callback.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "flashcore/v1/attention.grpc.pb.h"
#include "flashcore/v1/attention.pb.h"
#include "kernels/base/mutex.h"

ABSL_FLAG(std::string, listen, "127.0.0.1:0", "host:port; port 0: the kernel chooses, and it is printed.");
ABSL_FLAG(std::string, unix_socket, "", "Path of a Unix socket to listen on as well.");

namespace flashcore::bench {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;

// Q, K and V come, O goes.
constexpr size_t kTensorsPerAnswer = 3;
constexpr size_t kMaxAnswerBytes = size_t{64} << 20;
// As --max_stream_in_flight of flashcore_server.
constexpr size_t kMaxUnwritten = 32;

// The head of a message, written field by field.
class Head {
 public:
  void Varint(int field, uint64_t value) {
    Tag(field, WireFormatLite::WIRETYPE_VARINT);
    end_ = CodedOutputStream::WriteVarint64ToArray(value, end_);
  }
  void Length(int field, size_t length_bytes) {
    Tag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
    end_ = CodedOutputStream::WriteVarint64ToArray(length_bytes, end_);
  }
  size_t size() const { return static_cast<size_t>(end_ - bytes_.data()); }
  grpc::Slice slice() const { return {bytes_.data(), size()}; }

 private:
  void Tag(int field, WireFormatLite::WireType type) {
    end_ = CodedOutputStream::WriteVarint32ToArray(WireFormatLite::MakeTag(field, type), end_);
  }

  std::array<uint8_t, 64> bytes_ = {};
  uint8_t* end_ = bytes_.data();
};

// As many zeros as any answer holds.
grpc::Slice Zeros(size_t size_bytes) {
  static const std::vector<uint8_t> zeros(kMaxAnswerBytes);
  return {zeros.data(), std::min(size_bytes, kMaxAnswerBytes), grpc::Slice::STATIC_SLICE};
}

// An AttendResponse; with an id, an AttendStreamResponse around it.
grpc::ByteBuffer Answer(size_t request_bytes, std::optional<uint64_t> id) {
  const grpc::Slice data = Zeros(request_bytes / kTensorsPerAnswer);
  Head tensor;
  tensor.Length(v1::Tensor::kDataFieldNumber, data.size());
  const size_t tensor_bytes = tensor.size() + data.size();
  Head response;
  response.Length(v1::AttendResponse::kOFieldNumber, tensor_bytes);
  Head head;
  if (id.has_value()) {
    head.Varint(v1::AttendStreamResponse::kIdFieldNumber, *id);
    head.Length(v1::AttendStreamResponse::kResponseFieldNumber, response.size() + tensor_bytes);
  }
  head.Length(v1::AttendResponse::kOFieldNumber, tensor_bytes);
  head.Length(v1::Tensor::kDataFieldNumber, data.size());
  const std::array<grpc::Slice, 2> slices = {head.slice(), data};
  return {slices.data(), slices.size()};
}

// The id that the request begins with; 0 if it has none.
uint64_t LeadingId(grpc::ByteBuffer& request) {
  constexpr uint32_t kIdTag =
      WireFormatLite::MakeTag(v1::AttendStreamRequest::kIdFieldNumber, WireFormatLite::WIRETYPE_VARINT);
  grpc::ProtoBufferReader reader(&request);
  if (!reader.status().ok()) return 0;
  CodedInputStream input(&reader);
  uint64_t id = 0;
  return input.ReadTag() == kIdTag && input.ReadVarint64(&id) ? id : 0;
}

// Answers each request as it comes. Belongs to gRPC until OnDone.
class EchoStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  EchoStream() { StartRead(&request_); }

  void OnReadDone(bool ok) override {
    bool over = false;
    {
      const MutexLock lock(mutex_);
      reading_ = false;
      half_closed_ = !ok;
      if (ok) answers_.push_back(Answer(request_.Length(), LeadingId(request_)));
      if (ok) request_.Clear();
      over = Advance();
    }
    if (over) Finish(grpc::Status::OK);
  }

  void OnWriteDone(bool ok) override {
    bool over = false;
    {
      const MutexLock lock(mutex_);
      writing_ = false;
      answers_.pop_front();
      if (!ok) answers_.clear();
      over = Advance();
    }
    if (over) Finish(grpc::Status::OK);
  }

  void OnDone() override { delete this; }

 private:
  // True if the stream is over, once.
  bool Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!writing_ && !answers_.empty()) {
      writing_ = true;
      StartWrite(&answers_.front());
    }
    if (!reading_ && !half_closed_ && answers_.size() < kMaxUnwritten) {
      reading_ = true;
      StartRead(&request_);
    }
    return half_closed_ && !writing_;
  }

  grpc::ByteBuffer request_;
  Mutex mutex_;
  bool reading_ ABSL_GUARDED_BY(mutex_) = true;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool half_closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<grpc::ByteBuffer> answers_ ABSL_GUARDED_BY(mutex_);
};

class EchoService final : public v1::AttentionService::WithRawCallbackMethod_Attend<
                              v1::AttentionService::WithRawCallbackMethod_AttendStream<v1::AttentionService::Service>> {
 public:
  grpc::ServerUnaryReactor* Attend(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                                   grpc::ByteBuffer* response) override {
    *response = Answer(request->Length(), std::nullopt);
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* AttendStream(
      grpc::CallbackServerContext* /*context*/) override {
    return new EchoStream;
  }
};

// Until SIGTERM or SIGINT.
int Serve() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  EchoService service;
  grpc::ServerBuilder builder;
  const std::string listen = absl::GetFlag(FLAGS_listen);
  int port = 0;
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetMaxReceiveMessageSize(-1);
  builder.SetMaxSendMessageSize(-1);
  builder.AddListeningPort(listen, grpc::InsecureServerCredentials(), &port);
  if (!absl::GetFlag(FLAGS_unix_socket).empty()) {
    builder.AddListeningPort(absl::StrCat("unix:", absl::GetFlag(FLAGS_unix_socket)),
                             grpc::InsecureServerCredentials());
  }
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return EXIT_FAILURE;
  absl::PrintF("serving on %s:%d\n", listen.substr(0, listen.rfind(':')), port);
  std::fflush(stdout);

  int signal = 0;
  sigwait(&signals, &signal);
  server->Shutdown(std::chrono::system_clock::now());
  return EXIT_SUCCESS;
}

void DescribeProgram() {
  absl::SetProgramUsageMessage("Answers attention requests with as many zeros as an answer would have bytes.");
  absl::FlagsUsageConfig config;
  config.contains_help_flags = [](absl::string_view file) { return absl::EndsWith(file, "/floor_server.cc"); };
  absl::SetFlagsUsageConfig(config);
}

}  // namespace
}  // namespace flashcore::bench

int main(int argc, char** argv) {
  try {
    flashcore::bench::DescribeProgram();
    absl::ParseCommandLine(argc, argv);
    return flashcore::bench::Serve();
  } catch (const std::exception& error) {  // Out of memory, most likely: we throw nothing.
    absl::FPrintF(stderr, "flashcore_rpc_floor: %s\n", error.what());
    return EXIT_FAILURE;
  }
}
