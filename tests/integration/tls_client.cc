#include "tests/integration/tls_client.h"

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <array>
#include <memory>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "flashcore/v1/attention.grpc.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/integration/wire_problem.h"

namespace flashcore::testing {
namespace {

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using BioPtr = std::unique_ptr<BIO, Free<BIO_free_all>>;
using CertificatePtr = std::unique_ptr<X509, Free<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using SslContextPtr = std::unique_ptr<SSL_CTX, Free<SSL_CTX_free>>;

void AddMetadata(const CallMetadata& metadata, grpc::ClientContext& context) {
  for (const auto& [key, value] : metadata) context.AddMetadata(key, value);
}

void ShowIdentity(const Identity& identity, SSL_CTX* context) {
  if (identity.certificate.empty()) return;
  const BioPtr certificate_bio(BIO_new_mem_buf(identity.certificate.data(), -1));
  const CertificatePtr certificate(PEM_read_bio_X509(certificate_bio.get(), nullptr, nullptr, nullptr));
  const BioPtr key_bio(BIO_new_mem_buf(identity.key.data(), -1));
  const KeyPtr key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr));
  EXPECT_EQ(SSL_CTX_use_certificate(context, certificate.get()), 1);
  EXPECT_EQ(SSL_CTX_use_PrivateKey(context, key.get()), 1);
}

SslContextPtr MakeContext(const RawHello& hello) {
  SslContextPtr context(SSL_CTX_new(TLS_client_method()));
  // The distribution's OpenSSL would itself refuse old versions.
  SSL_CTX_set_security_level(context.get(), 0);
  SSL_CTX_set_cipher_list(context.get(), "ALL:@SECLEVEL=0");
  SSL_CTX_set_min_proto_version(context.get(), hello.least_version);
  SSL_CTX_set_max_proto_version(context.get(), hello.greatest_version);
  std::string alpn = hello.alpn;
  alpn.insert(alpn.begin(), static_cast<char>(alpn.size()));
  if (!hello.alpn.empty()) {
    SSL_CTX_set_alpn_protos(context.get(), reinterpret_cast<const unsigned char*>(alpn.data()),
                            static_cast<unsigned int>(alpn.size()));
  }
  ShowIdentity(hello.identity, context.get());
  return context;
}

std::string ErrorText() {
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  return reason == nullptr ? "closed" : reason;
}

std::string PeerFingerprint(const SSL* ssl) {
  const CertificatePtr certificate(SSL_get1_peer_certificate(ssl));
  if (certificate == nullptr) return "";
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest = {};
  unsigned int length = 0;
  X509_digest(certificate.get(), EVP_sha256(), digest.data(), &length);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest.data()), length));
}

}  // namespace

std::shared_ptr<grpc::Channel> ConnectWithTls(const std::string& address, const ClientTls& tls) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = tls.roots;
  options.pem_cert_chain = tls.identity.certificate;
  options.pem_private_key = tls.identity.key;
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  return grpc::CreateCustomChannel(address, grpc::SslCredentials(options), arguments);
}

CallMetadata BearerToken(const std::string& token) { return {{"authorization", "Bearer " + token}}; }

grpc::Status CallGetServerInfo(const std::shared_ptr<grpc::Channel>& channel, const CallMetadata& metadata) {
  grpc::ClientContext context;
  AddMetadata(metadata, context);
  v1::GetServerInfoResponse response;
  return v1::AttentionService::NewStub(channel)->GetServerInfo(&context, {}, &response);
}

grpc::Status CallAttend(const std::shared_ptr<grpc::Channel>& channel, const CallMetadata& metadata) {
  const ProblemSpec spec = {.q_len = 3};
  grpc::ClientContext context;
  AddMetadata(metadata, context);
  v1::AttendResponse response;
  grpc::Status status = v1::AttentionService::NewStub(channel)->Attend(&context, ToRequest(spec), &response);
  if (status.ok()) ExpectAnswers(response, spec);
  return status;
}

grpc::Status CallAttendStream(const std::shared_ptr<grpc::Channel>& channel, const CallMetadata& metadata) {
  const ProblemSpec spec = {.q_len = 3};
  grpc::ClientContext context;
  AddMetadata(metadata, context);
  const auto stream = v1::AttentionService::NewStub(channel)->AttendStream(&context);
  v1::AttendStreamRequest request;
  *request.mutable_request() = ToRequest(spec);
  stream->Write(request);
  stream->WritesDone();
  v1::AttendStreamResponse response;
  int answers = 0;
  while (stream->Read(&response)) ++answers;
  grpc::Status status = stream->Finish();
  EXPECT_EQ(answers, status.ok() ? 1 : 0);
  return status;
}

grpc::Status CallHealth(const std::shared_ptr<grpc::Channel>& channel, const CallMetadata& metadata) {
  grpc::ClientContext context;
  AddMetadata(metadata, context);
  grpc::health::v1::HealthCheckResponse response;
  return grpc::health::v1::Health::NewStub(channel)->Check(&context, {}, &response);
}

grpc::Status CallReflection(const std::shared_ptr<grpc::Channel>& channel, const CallMetadata& metadata) {
  grpc::ClientContext context;
  AddMetadata(metadata, context);
  grpc::CompletionQueue queue;
  const auto call = grpc::GenericStub(channel).PrepareCall(
      &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  void* tag = nullptr;
  bool ok = false;
  call->StartCall(nullptr);
  queue.Next(&tag, &ok);
  call->WritesDone(nullptr);
  queue.Next(&tag, &ok);
  grpc::Status status;
  call->Finish(&status, nullptr);
  queue.Next(&tag, &ok);
  return status;
}

RawAnswer ShakeHands(const std::string& address, const RawHello& hello) {
  RawAnswer answer;
  ERR_clear_error();
  const SslContextPtr context = MakeContext(hello);
  const BioPtr bio(BIO_new_ssl_connect(context.get()));
  BIO_set_conn_hostname(bio.get(), address.c_str());
  SSL* ssl = nullptr;
  BIO_get_ssl(bio.get(), &ssl);
  if (BIO_do_connect(bio.get()) == 1 && BIO_do_handshake(bio.get()) == 1) {
    answer.version = SSL_version(ssl);
    answer.fingerprint = PeerFingerprint(ssl);
    // A server that is content begins with its settings. TLS 1.3 tells only here that it is not.
    std::array<char, 1> first = {};
    answer.connected = BIO_read(bio.get(), first.data(), static_cast<int>(first.size())) == 1;
  }
  if (!answer.connected) answer.error = ErrorText();
  return answer;
}

}  // namespace flashcore::testing
