#include "server/rpc/credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "kernels/base/mutex.h"

namespace flashcore {
namespace {

constexpr absl::string_view kPathKey = ":path";
constexpr absl::string_view kHealthPrefix = "/grpc.health.v1.Health/";
constexpr absl::string_view kAuthorizationKey = "authorization";

absl::string_view ToView(const grpc_slice& slice) {
  return {reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(slice)), GRPC_SLICE_LENGTH(slice)};
}

// gRPC's callback for the metadata of a call; `state` is a const TokenStore. Runs before any message is read.
void CheckCall(void* state, grpc_auth_context* /*context*/, const grpc_metadata* metadata, size_t count,
               grpc_process_auth_metadata_done_cb done, void* done_data) {
  std::vector<absl::string_view> authorizations;
  bool health = false;
  for (size_t i = 0; i < count; ++i) {
    const absl::string_view key = ToView(metadata[i].key);
    if (key == kAuthorizationKey) authorizations.push_back(ToView(metadata[i].value));
    if (key == kPathKey) health = absl::StartsWith(ToView(metadata[i].value), kHealthPrefix);
  }
  const absl::Status status =
      health ? absl::OkStatus() : static_cast<const TokenStore*>(state)->Authorize(authorizations);
  done(done_data, nullptr, 0, nullptr, 0, static_cast<grpc_status_code>(status.raw_code()),
       std::string(status.message()).c_str());
}

class PortCredentials final : public grpc::ServerCredentials {
 public:
  PortCredentials(const TlsStore* tls, const TokenStore* tokens);
  ~PortCredentials() override { grpc_server_credentials_release(credentials_); }

 private:
  // Which material gRPC was given last for this port.
  struct Handover {
    explicit Handover(const TlsStore* tls) : store(tls) {}

    const TlsStore* const store;
    // gRPC asks for a port's material in one thread at a time, but promises it nowhere.
    Mutex mutex;
    std::shared_ptr<const TlsMaterial> given ABSL_GUARDED_BY(mutex);
  };

  static grpc_server_credentials* CreateTls(Handover& handover);
  static grpc_ssl_certificate_config_reload_status Fetch(void* handover, grpc_ssl_server_certificate_config** config);

  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>& /*processor*/) override {}

  Handover handover_;
  grpc_server_credentials* const credentials_;
};

PortCredentials::PortCredentials(const TlsStore* tls, const TokenStore* tokens)
    : handover_(tls), credentials_(tls == nullptr ? grpc_insecure_server_credentials_create() : CreateTls(handover_)) {
  if (tokens == nullptr) return;
  grpc_server_credentials_set_auth_metadata_processor(
      credentials_, {.process = &CheckCall, .destroy = nullptr, .state = const_cast<TokenStore*>(tokens)});
}

grpc_server_credentials* PortCredentials::CreateTls(Handover& handover) {
  const auto request = handover.store->requires_client_certificate()
                           ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                           : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;
  // gRPC owns the options from the second call on.
  return grpc_ssl_server_credentials_create_with_options(
      grpc_ssl_server_credentials_create_options_using_config_fetcher(request, &Fetch, &handover));
}

// gRPC's callback for each new connection.
grpc_ssl_certificate_config_reload_status PortCredentials::Fetch(void* handover,
                                                                 grpc_ssl_server_certificate_config** config) {
  auto& last = *static_cast<Handover*>(handover);
  const MutexLock lock(last.mutex);
  std::shared_ptr<const TlsMaterial> current = last.store->Current();
  if (current == last.given) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  const grpc_ssl_pem_key_cert_pair pair = {current->private_key.c_str(), current->certificate_chain.c_str()};
  // gRPC wants CAs even if it asks no client for a certificate; they are then never used.
  const std::string& client_ca = current->client_ca.empty() ? current->certificate_chain : current->client_ca;
  *config = grpc_ssl_server_certificate_config_create(client_ca.c_str(), &pair, 1);
  last.given = std::move(current);
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

}  // namespace

std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(const TlsStore* tls, const TokenStore* tokens) {
  return std::make_shared<PortCredentials>(tls, tokens);
}

}  // namespace flashcore
