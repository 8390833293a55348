#include "client/tls_probe.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/target.h"

namespace flashcore {
namespace {

constexpr int kStepTimeoutSeconds = 3;

template <auto kFree>
struct FreeWith {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using Context = std::unique_ptr<SSL_CTX, FreeWith<SSL_CTX_free>>;
using Connection = std::unique_ptr<SSL, FreeWith<SSL_free>>;
using Bio = std::unique_ptr<BIO, FreeWith<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, FreeWith<X509_free>>;
using Names = std::unique_ptr<GENERAL_NAMES, FreeWith<GENERAL_NAMES_free>>;

std::string Reason() {
  const uint64_t error = ERR_peek_last_error();
  const char* const text = ERR_reason_error_string(error);
  return text != nullptr ? text : "unknown";
}

absl::Status Unusable(absl::string_view field, const std::string& path, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", path, why));
}

absl::Status CheckReadable(absl::string_view field, const std::string& path) {
  const std::ifstream file(path);
  if (file.is_open()) return absl::OkStatus();
  return Unusable(field, path, absl::StrCat(" cannot be read: ", std::strerror(errno)));
}

absl::Status UseAuthorities(SSL_CTX* context, const std::string& path) {
  if (path.empty()) {
    SSL_CTX_set_default_verify_paths(context);
    return absl::OkStatus();
  }
  if (absl::Status readable = CheckReadable("tls_ca", path); !readable.ok()) return readable;
  if (SSL_CTX_load_verify_file(context, path.c_str()) == 1) return absl::OkStatus();
  return Unusable("tls_ca", path, absl::StrCat(" holds no certificates in PEM: ", Reason()));
}

absl::Status UseIdentity(SSL_CTX* context, const ChannelSecurity& security) {
  if (security.tls_cert.empty()) return absl::OkStatus();
  if (absl::Status readable = CheckReadable("tls_cert", security.tls_cert); !readable.ok()) return readable;
  if (absl::Status readable = CheckReadable("tls_key", security.tls_key); !readable.ok()) return readable;
  if (SSL_CTX_use_certificate_chain_file(context, security.tls_cert.c_str()) != 1) {
    return Unusable("tls_cert", security.tls_cert, absl::StrCat(" holds no certificate in PEM: ", Reason()));
  }
  // OpenSSL would ask the terminal for a passphrase; gRPC has no way to take one.
  SSL_CTX_set_default_passwd_cb(context, [](char*, int, int, void*) { return -1; });
  if (SSL_CTX_use_PrivateKey_file(context, security.tls_key.c_str(), SSL_FILETYPE_PEM) == 1) return absl::OkStatus();
  if (ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH) {
    return Unusable("tls_key", security.tls_key, absl::StrCat(" is not the key of ", security.tls_cert));
  }
  return Unusable("tls_key", security.tls_key, absl::StrCat(" holds no PEM key without a passphrase: ", Reason()));
}

absl::StatusOr<Context> MakeContext(const ChannelSecurity& security) {
  ERR_clear_error();
  Context context(SSL_CTX_new(TLS_client_method()));
  if (absl::Status used = UseAuthorities(context.get(), security.tls_ca); !used.ok()) return used;
  if (absl::Status used = UseIdentity(context.get(), security); !used.ok()) return used;
  return context;
}

// A peer that goes away while it is written to must not end the process. Restores what was there before.
class SigpipeBlock {
 public:
  SigpipeBlock() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  ~SigpipeBlock() {
    const timespec now{};
    if (sigismember(&before_, SIGPIPE) == 0) sigtimedwait(&set_, nullptr, &now);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  SigpipeBlock(const SigpipeBlock&) = delete;
  SigpipeBlock& operator=(const SigpipeBlock&) = delete;

 private:
  sigset_t set_{};
  sigset_t before_{};
};

// A connected socket whose every wait ends. nullptr: nobody is there.
Bio Connect(const HostPort& address) {
  Bio bio(BIO_new(BIO_s_connect()));
  BIO_set_conn_hostname(bio.get(), address.host.c_str());
  BIO_set_conn_port(bio.get(), address.port.c_str());
  if (BIO_do_connect_retry(bio.get(), kStepTimeoutSeconds, -1) != 1) return nullptr;
  const int fd = static_cast<int>(BIO_get_fd(bio.get(), nullptr));
  BIO_socket_nbio(fd, 0);
  const timeval timeout{.tv_sec = kStepTimeoutSeconds, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
  return bio;
}

bool IsAddress(const std::string& host) {
  in6_addr address{};
  return inet_pton(AF_INET, host.c_str(), &address) == 1 || inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

// What the handshake will be about: HTTP/2, and a certificate for `name`. The outcome does not end the handshake.
void Prepare(SSL* ssl, const std::string& name) {
  static constexpr std::array<unsigned char, 3> kHttp2 = {2, 'h', '2'};
  SSL_set_alpn_protos(ssl, kHttp2.data(), kHttp2.size());
  SSL_set_verify(ssl, SSL_VERIFY_NONE, nullptr);
  if (IsAddress(name)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str());
  } else {
    SSL_set_tlsext_host_name(ssl, name.c_str());
    SSL_set1_host(ssl, name.c_str());
  }
}

std::string Text(const ASN1_TIME* time) {
  const Bio memory(BIO_new(BIO_s_mem()));
  ASN1_TIME_print(memory.get(), time);
  char* data = nullptr;
  const int64_t size = BIO_get_mem_data(memory.get(), &data);
  return {data, static_cast<size_t>(size)};
}

std::string Text(const X509_NAME* name) {
  const Bio memory(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(memory.get(), name, 0, XN_FLAG_ONELINE);
  char* data = nullptr;
  const int64_t size = BIO_get_mem_data(memory.get(), &data);
  return {data, static_cast<size_t>(size)};
}

// The names and addresses that a certificate is for.
std::string NamesIn(X509* certificate) {
  const Names names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  std::vector<std::string> texts;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const Bio memory(BIO_new(BIO_s_mem()));
    GENERAL_NAME_print(memory.get(), sk_GENERAL_NAME_value(names.get(), i));
    char* data = nullptr;
    const int64_t size = BIO_get_mem_data(memory.get(), &data);
    texts.emplace_back(data, static_cast<size_t>(size));
  }
  return texts.empty() ? "no name" : absl::StrJoin(texts, ", ");
}

// What is wrong with the server's certificate; empty: nothing.
std::string ExplainCertificate(const SSL* ssl, const std::string& name, const ChannelSecurity& security) {
  const int64_t result = SSL_get_verify_result(ssl);
  const Certificate certificate(SSL_get1_peer_certificate(ssl));
  if (result == X509_V_OK || certificate == nullptr) return "";
  switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return absl::StrCat("the server's certificate, or its authority's, has expired (the server's is valid until ",
                          Text(X509_get0_notAfter(certificate.get())), "): renew it, or set this machine's clock");
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return absl::StrCat("the server's certificate is valid only from ", Text(X509_get0_notBefore(certificate.get())),
                          ": is this machine's clock right?");
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return absl::StrCat("the server's certificate is for ", NamesIn(certificate.get()), ", not for ", name,
                          ": use such a name as the target, or as tls_server_name");
    default:
      return absl::StrCat("the server's certificate, signed by ", Text(X509_get_issuer_name(certificate.get())),
                          ", is not trusted (", X509_verify_cert_error_string(result), "): give ",
                          security.tls_ca.empty()
                              ? "its authority's certificate as tls_ca"
                              : absl::StrCat("its authority's certificate instead of ", security.tls_ca));
  }
}

// What a server that has ended the connection thinks of the client's certificate.
std::string ExplainIdentity(const ChannelSecurity& security) {
  if (security.tls_cert.empty()) return "the server asks for a client's certificate: give tls_cert and tls_key";
  return absl::StrCat("the server does not accept the certificate in ", security.tls_cert, " (", Reason(),
                      "): it must be valid now, for clients, and signed by an authority that the server trusts");
}

// `asked` becomes true when the server asks for a certificate.
std::string ExplainHandshake(SSL* ssl, const std::string& name, const ChannelSecurity& security, const bool& asked) {
  const bool connected = SSL_connect(ssl) == 1;
  if (!security.tls) return connected ? "the server speaks TLS there: use tls" : "";
  if (!connected) {
    if (asked) return ExplainIdentity(security);
    if (ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_WRONG_VERSION_NUMBER) {
      return "the server speaks plain text there, not TLS: start it with a certificate, or leave tls out";
    }
    return absl::StrCat("no TLS handshake came about: ", Reason());
  }
  if (std::string wrong = ExplainCertificate(ssl, name, security); !wrong.empty()) return wrong;
  // With TLS 1.3 a server judges the client's certificate after the client's side of the handshake; one that is content
  // begins to speak HTTP/2.
  ERR_clear_error();
  char first = 0;
  const int got = SSL_read(ssl, &first, sizeof(first));
  return got > 0 || !asked ? "" : ExplainIdentity(security);
}

}  // namespace

absl::Status CheckTlsFiles(const ChannelSecurity& security) {
  return security.tls ? MakeContext(security).status() : absl::OkStatus();
}

std::string ExplainConnection(const std::string& target, const ChannelSecurity& security) {
  const absl::StatusOr<Context> context = MakeContext(security);
  if (!context.ok()) return std::string(context.status().message());
  const std::vector<HostPort> hosts = HostsOf(target);
  if (hosts.empty()) return "";
  const SigpipeBlock no_sigpipe;
  Bio bio = Connect(hosts.front());
  if (bio == nullptr) return "";
  bool asked = false;
  // Called when the server asks for a certificate, and only then.
  SSL_CTX_set_cert_cb(
      context->get(),
      [](SSL*, void* flag) {
        *static_cast<bool*>(flag) = true;
        return 1;
      },
      &asked);
  const Connection ssl(SSL_new(context->get()));
  const std::string name = security.tls_server_name.empty() ? hosts.front().host : security.tls_server_name;
  Prepare(ssl.get(), name);
  BIO* const raw = bio.release();
  SSL_set_bio(ssl.get(), raw, raw);
  ERR_clear_error();
  return ExplainHandshake(ssl.get(), name, security, asked);
}

}  // namespace flashcore
