// Authorities and certificates for tests, made when they run: nothing that expires lies in the tree.
#ifndef FLASHCORE_TESTS_CLIENT_CERTIFICATES_H_
#define FLASHCORE_TESTS_CLIENT_CERTIFICATES_H_

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

#include "absl/time/time.h"

namespace flashcore {

// PEM.
struct Identity {
  std::string certificate;
  std::string key;
};

struct CertificateRequest {
  // As OpenSSL writes them.
  std::string names = "DNS:localhost,IP:127.0.0.1";
  // From now.
  absl::Duration valid_from = -absl::Hours(1);
  absl::Duration valid_until = absl::Hours(1);
};

class TestAuthority {
 public:
  explicit TestAuthority(std::string name);

  // Its own certificate, PEM.
  std::string Certificate() const;
  Identity Issue(const CertificateRequest& request = {}) const;

 private:
  struct Free {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
    void operator()(X509* certificate) const { X509_free(certificate); }
  };
  using Key = std::unique_ptr<EVP_PKEY, Free>;
  using Signed = std::unique_ptr<X509, Free>;

  // A version 3 certificate of the authority's for `key`, with no extensions and not yet signed.
  Signed Draft(const std::string& name, EVP_PKEY* key, const CertificateRequest& request) const;

  const std::string name_;
  const Key key_;
  Signed certificate_;
};

// A file in the test's temporary folder with these bytes; its path.
std::string WriteTestFile(const std::string& name, const std::string& bytes);

}  // namespace flashcore

#endif  // FLASHCORE_TESTS_CLIENT_CERTIFICATES_H_
