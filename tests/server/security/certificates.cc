#include "tests/server/security/certificates.h"

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"

namespace flashcore::testing {
namespace {

constexpr int kX509Version3 = 2;
constexpr char kPassphrase[] = "secret";

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

BioPtr OpenText(const std::string& text) { return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

CertificatePtr ReadCertificate(const std::string& pem) {
  return CertificatePtr(PEM_read_bio_X509(OpenText(pem).get(), nullptr, nullptr, nullptr));
}

KeyPtr ReadKey(const std::string& pem) {
  return KeyPtr(PEM_read_bio_PrivateKey(OpenText(pem).get(), nullptr, nullptr, nullptr));
}

std::string ToPem(const std::function<int(BIO*)>& write) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  EXPECT_EQ(write(bio.get()), 1);
  char* data = nullptr;
  const int64_t size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<size_t>(size)};
}

std::string KeyToPem(EVP_PKEY* key, const EVP_CIPHER* cipher, const char* passphrase) {
  return ToPem([&](BIO* bio) {
    return PEM_write_bio_PKCS8PrivateKey(bio, key, cipher, nullptr, 0, nullptr, const_cast<char*>(passphrase));
  });
}

KeyPtr MakeKey(int rsa_bits) {
  return KeyPtr(rsa_bits == 0 ? EVP_EC_gen("P-256") : EVP_RSA_gen(static_cast<unsigned int>(rsa_bits)));
}

void AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  if (value.empty()) return;
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  ASSERT_NE(extension, nullptr) << value;
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

void SetName(X509* certificate, const std::string& common_name) {
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1, 0);
}

// No two certificates of an issuer may have the same.
int64_t NextSerial() {
  static std::atomic<int64_t> last = 0;
  return ++last;
}

}  // namespace

Identity MakeAuthority(const std::string& common_name) {
  return MakeCertificate({.common_name = common_name, .names = "", .usage = "", .is_ca = true}, nullptr);
}

Identity MakeCertificate(const CertificateSpec& spec, const Identity* issuer) {
  const KeyPtr key = MakeKey(spec.rsa_bits);
  const CertificatePtr certificate(X509_new());
  X509_set_version(certificate.get(), kX509Version3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), NextSerial());
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), absl::ToInt64Seconds(spec.starts));
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), absl::ToInt64Seconds(spec.ends));
  X509_set_pubkey(certificate.get(), key.get());
  SetName(certificate.get(), spec.common_name);
  const CertificatePtr signer = issuer == nullptr ? nullptr : ReadCertificate(issuer->certificate);
  const KeyPtr signer_key = issuer == nullptr ? nullptr : ReadKey(issuer->key);
  X509* const signed_by = signer == nullptr ? certificate.get() : signer.get();
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(signed_by));
  AddExtension(certificate.get(), signed_by, NID_basic_constraints, spec.is_ca ? "critical,CA:TRUE" : "CA:FALSE");
  AddExtension(certificate.get(), signed_by, NID_subject_alt_name, spec.names);
  AddExtension(certificate.get(), signed_by, NID_ext_key_usage, spec.usage);
  EXPECT_GT(X509_sign(certificate.get(), signer_key == nullptr ? key.get() : signer_key.get(), EVP_sha256()), 0);
  return {.certificate = ToPem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate.get()); }),
          .key = KeyToPem(key.get(), nullptr, nullptr)};
}

std::string EncryptKey(const Identity& identity) {
  return KeyToPem(ReadKey(identity.key).get(), EVP_aes_256_cbc(), kPassphrase);
}

std::string FingerprintOf(const std::string& pem) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest = {};
  unsigned int length = 0;
  X509_digest(ReadCertificate(pem).get(), EVP_sha256(), digest.data(), &length);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest.data()), length));
}

}  // namespace flashcore::testing
