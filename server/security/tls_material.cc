#include "server/security/tls_material.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <ctime>
#include <memory>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace flashcore {
namespace {

constexpr char kCertFlag[] = "tls_cert";
constexpr char kKeyFlag[] = "tls_key";
constexpr char kClientCaFlag[] = "tls_client_ca";

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using BioPtr = std::unique_ptr<BIO, Free<BIO_free>>;
using CertificatePtr = std::unique_ptr<X509, Free<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using SslContextPtr = std::unique_ptr<SSL_CTX, Free<SSL_CTX_free>>;

template <typename... Parts>
absl::Status BadMaterial(absl::string_view flag, const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag, ": ", parts...));
}

// OpenSSL's own words for its last error, and none of its errors left behind.
std::string TakeOpenSslError() {
  const uint64_t error = ERR_peek_last_error();
  ERR_clear_error();
  const char* const reason = ERR_reason_error_string(error);
  return reason == nullptr ? "for no known reason" : reason;
}

BioPtr OpenText(const std::string& text) { return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

// All of a file; PEM allows other text between the blocks.
absl::StatusOr<std::vector<CertificatePtr>> ReadCertificates(absl::string_view flag, const std::string& pem) {
  std::vector<CertificatePtr> certificates;
  const BioPtr bio = OpenText(pem);
  ERR_clear_error();
  while (CertificatePtr certificate{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}) {
    certificates.push_back(std::move(certificate));
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const std::string error = TakeOpenSslError();
  if (!at_end) {
    return BadMaterial(flag, "certificate ", certificates.size() + 1, " is damaged or cut short: ", error);
  }
  if (certificates.empty()) return BadMaterial(flag, "holds no PEM certificate (-----BEGIN CERTIFICATE-----)");
  return certificates;
}

// Without it OpenSSL would ask at the terminal.
int NoPassphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*data*/) { return 0; }

absl::StatusOr<KeyPtr> ReadKey(const std::string& pem) {
  const BioPtr bio = OpenText(pem);
  ERR_clear_error();
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, &NoPassphrase, nullptr));
  if (key != nullptr) return key;
  const std::string error = TakeOpenSslError();
  if (pem.find("ENCRYPTED") != std::string::npos) {
    return BadMaterial(kKeyFlag, "is encrypted; decrypt it, e.g. with openssl pkey, and let only the server read it");
  }
  return BadMaterial(kKeyFlag, "holds no complete PEM private key: ", error);
}

absl::Time ToTime(const ASN1_TIME* asn1) {
  std::tm parts = {};
  if (ASN1_TIME_to_tm(asn1, &parts) != 1) return absl::InfinitePast();
  return absl::FromTM(parts, absl::UTCTimeZone());
}

absl::Time LatestStart(const std::vector<CertificatePtr>& certificates) {
  absl::Time latest = absl::InfinitePast();
  for (const auto& certificate : certificates) {
    latest = std::max(latest, ToTime(X509_get0_notBefore(certificate.get())));
  }
  return latest;
}

absl::Time EarliestEnd(const std::vector<CertificatePtr>& certificates) {
  absl::Time earliest = absl::InfiniteFuture();
  for (const auto& certificate : certificates) {
    earliest = std::min(earliest, ToTime(X509_get0_notAfter(certificate.get())));
  }
  return earliest;
}

std::string Fingerprint(const X509& certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest = {};
  unsigned int length = 0;
  X509_digest(&certificate, EVP_sha256(), digest.data(), &length);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest.data()), length));
}

// What gRPC will do with them, so that it cannot fail there: among others, keys that OpenSSL finds too weak.
absl::Status CheckUsable(const std::vector<CertificatePtr>& chain, EVP_PKEY* key) {
  const SslContextPtr context(SSL_CTX_new(TLS_server_method()));
  if (SSL_CTX_use_certificate(context.get(), chain.front().get()) != 1) {
    return BadMaterial(kCertFlag, "OpenSSL does not take the certificate: ", TakeOpenSslError());
  }
  for (size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context.get(), chain[i].get()) != 1) {
      return BadMaterial(kCertFlag, "OpenSSL does not take certificate ", i + 1, ": ", TakeOpenSslError());
    }
  }
  if (X509_check_private_key(chain.front().get(), key) != 1) {
    ERR_clear_error();
    return BadMaterial(kKeyFlag, "is not the key of the first certificate of --tls_cert; replace both");
  }
  if (SSL_CTX_use_PrivateKey(context.get(), key) != 1) {
    return BadMaterial(kKeyFlag, "OpenSSL does not take the key: ", TakeOpenSslError());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TlsFacts> CheckTlsMaterial(const TlsMaterial& material) {
  const absl::StatusOr<std::vector<CertificatePtr>> chain = ReadCertificates(kCertFlag, material.certificate_chain);
  if (!chain.ok()) return chain.status();
  const absl::StatusOr<KeyPtr> key = ReadKey(material.private_key);
  if (!key.ok()) return key.status();
  if (absl::Status status = CheckUsable(*chain, key->get()); !status.ok()) return status;
  TlsFacts facts = {
      .not_before = LatestStart(*chain), .not_after = EarliestEnd(*chain), .fingerprint = Fingerprint(*chain->front())};
  if (material.client_ca.empty()) return facts;
  const absl::StatusOr<std::vector<CertificatePtr>> cas = ReadCertificates(kClientCaFlag, material.client_ca);
  if (!cas.ok()) return cas.status();
  facts.client_ca_not_after = EarliestEnd(*cas);
  return facts;
}

absl::Status CheckDates(const TlsFacts& facts, absl::Time now) {
  const auto utc = [](absl::Time time) { return absl::FormatTime(time, absl::UTCTimeZone()); };
  if (now < facts.not_before) {
    return BadMaterial(kCertFlag, "is not valid before ", utc(facts.not_before), "; is the clock right?");
  }
  if (now > facts.not_after) return BadMaterial(kCertFlag, "expired at ", utc(facts.not_after), "; renew it");
  return absl::OkStatus();
}

}  // namespace flashcore
