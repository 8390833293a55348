#include "client/channel.h"

#include <grpc/grpc.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <grpcpp/support/channel_arguments.h>

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/tls_probe.h"

namespace flashcore {
namespace {

using grpc::experimental::FileWatcherCertificateProvider;

// gRPC's own first pause is a second, long for a client that waits for a server next door.
constexpr int kInitialReconnectBackoffMs = 100;
constexpr int kMaxReconnectBackoffMs = 5000;
// Certificates and keys: three small files, and a renewed one is used by the next connection.
constexpr unsigned int kReadFilesEverySeconds = 1;

constexpr char kAuthorizationKey[] = "authorization";

// Keeps gRPC's own threads for the life of the process. They would otherwise end with the last channel, and that may
// take gRPC 10 seconds: its shutdown joins a thread that can be in a poll of that length.
void KeepGrpcRunning() {
  static const bool running = [] {
    grpc_init();
    return true;
  }();
  static_cast<void>(running);
}

std::shared_ptr<grpc::ChannelCredentials> MakeCredentials(const ChannelSecurity& security) {
  if (!security.tls) return grpc::InsecureChannelCredentials();
  grpc::experimental::TlsChannelCredentialsOptions options;
  if (!security.tls_ca.empty() || !security.tls_cert.empty()) {
    options.set_certificate_provider(std::make_shared<FileWatcherCertificateProvider>(
        security.tls_key, security.tls_cert, security.tls_ca, kReadFilesEverySeconds));
  }
  if (!security.tls_ca.empty()) options.watch_root_certs();
  if (!security.tls_cert.empty()) options.watch_identity_key_cert_pairs();
  return grpc::experimental::TlsCredentials(options);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Connector>> Connector::Create(const std::string& target,
                                                                   const ChannelSecurity& security) {
  if (target.empty()) {
    return absl::InvalidArgumentError("target: is empty; give host:port or unix:/path/to/socket");
  }
  if (absl::Status safe = CheckSecurity(target, security); !safe.ok()) return safe;
  if (absl::Status usable = CheckTlsFiles(security); !usable.ok()) return usable;
  std::unique_ptr<TokenFile> token;
  if (!security.auth_token_file.empty()) {
    absl::StatusOr<std::unique_ptr<TokenFile>> opened = TokenFile::Open(security.auth_token_file);
    if (!opened.ok()) return opened.status();
    token = *std::move(opened);
  }
  return std::shared_ptr<const Connector>(new Connector(target, security, std::move(token)));
}

Connector::Connector(std::string target, const ChannelSecurity& security, std::unique_ptr<TokenFile> token)
    : target_(std::move(target)),
      security_(security),
      token_(std::move(token)),
      credentials_((KeepGrpcRunning(), MakeCredentials(security))) {}

std::shared_ptr<grpc::Channel> Connector::Connect() const {
  grpc::ChannelArguments arguments;
  // The server bounds its messages; a bound of ours would only be a second one to keep in step.
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  // Without this, channels to one target share one connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kInitialReconnectBackoffMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectBackoffMs);
  if (!security_.tls_server_name.empty()) arguments.SetSslTargetNameOverride(security_.tls_server_name);
  return grpc::CreateCustomChannel(target_, credentials_, arguments);
}

void Connector::Prepare(grpc::ClientContext& context, absl::Duration timeout) const {
  if (timeout != absl::InfiniteDuration()) context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  if (token_ != nullptr) context.AddMetadata(kAuthorizationKey, absl::StrCat("Bearer ", token_->Current()));
}

absl::Status Connector::Explain(const absl::Status& status) const {
  std::string why;
  if (absl::IsUnauthenticated(status)) {
    why = token_ == nullptr ? "give auth_token_file"
                            : absl::StrCat("the token in ", security_.auth_token_file, " is not one that it knows");
  } else if (absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status)) {
    why = ExplainConnection(target_, security_);
  }
  if (why.empty()) return status;
  absl::Status explained(status.code(), absl::StrCat(status.message(), "; ", why));
  status.ForEachPayload(
      [&explained](absl::string_view url, const absl::Cord& payload) { explained.SetPayload(url, payload); });
  return explained;
}

}  // namespace flashcore
