#include "tests/client/certificates.h"

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"

namespace flashcore {
namespace {

constexpr int64_t kVersion3 = 2;

template <typename Write>
std::string ToPem(Write write) {
  BIO* const memory = BIO_new(BIO_s_mem());
  write(memory);
  char* data = nullptr;
  const int64_t size = BIO_get_mem_data(memory, &data);
  std::string pem(data, static_cast<size_t>(size));
  BIO_free(memory);
  return pem;
}

std::string ToPem(X509* certificate) {
  return ToPem([certificate](BIO* out) { PEM_write_bio_X509(out, certificate); });
}

void Extend(X509* certificate, int what, const std::string& value) {
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, what, value.c_str());
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

}  // namespace

TestAuthority::TestAuthority(std::string name) : name_(std::move(name)), key_(EVP_EC_gen("P-256")) {
  certificate_ = Draft(name_, key_.get(), {});
  Extend(certificate_.get(), NID_basic_constraints, "critical,CA:TRUE");
  Extend(certificate_.get(), NID_key_usage, "critical,keyCertSign");
  X509_sign(certificate_.get(), key_.get(), EVP_sha256());
}

std::string TestAuthority::Certificate() const { return ToPem(certificate_.get()); }

TestAuthority::Signed TestAuthority::Draft(const std::string& name, EVP_PKEY* key,
                                           const CertificateRequest& request) const {
  Signed draft(X509_new());
  X509_set_version(draft.get(), kVersion3);
  uint64_t serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof(serial));
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(draft.get()), serial);
  X509_gmtime_adj(X509_getm_notBefore(draft.get()), absl::ToInt64Seconds(request.valid_from));
  X509_gmtime_adj(X509_getm_notAfter(draft.get()), absl::ToInt64Seconds(request.valid_until));
  const auto set_name = [](X509_NAME* field, const std::string& text) {
    X509_NAME_add_entry_by_txt(field, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(text.c_str()), -1, -1,
                               0);
  };
  set_name(X509_get_subject_name(draft.get()), name);
  set_name(X509_get_issuer_name(draft.get()), name_);
  X509_set_pubkey(draft.get(), key);
  return draft;
}

Identity TestAuthority::Issue(const CertificateRequest& request) const {
  const Key key(EVP_EC_gen("P-256"));
  const Signed certificate = Draft("a test", key.get(), request);
  Extend(certificate.get(), NID_subject_alt_name, request.names);
  X509_sign(certificate.get(), key_.get(), EVP_sha256());
  return {.certificate = ToPem(certificate.get()),
          .key = ToPem(
              [&key](BIO* out) { PEM_write_bio_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr); })};
}

std::string WriteTestFile(const std::string& name, const std::string& bytes) {
  std::string path = absl::StrCat(testing::TempDir(), "/flashcore-", getpid(), "-", name);
  // A rename: whoever reads the file meanwhile sees the old one or the new one.
  const std::string fresh = path + ".new";
  std::ofstream(fresh) << bytes;
  EXPECT_EQ(rename(fresh.c_str(), path.c_str()), 0);
  return path;
}

}  // namespace flashcore
