// Certificates made for a test, good ones and bad ones.
#ifndef FLASHCORE_TESTS_SERVER_SECURITY_CERTIFICATES_H_
#define FLASHCORE_TESTS_SERVER_SECURITY_CERTIFICATES_H_

#include <string>
#include <vector>

#include "absl/time/time.h"

namespace flashcore::testing {

// PEM texts.
struct Identity {
  std::string certificate;
  std::string key;
};

struct CertificateSpec {
  std::string common_name = "flashcore test";
  // subjectAltName, as OpenSSL writes it; empty: none.
  std::string names = "DNS:localhost,IP:127.0.0.1,IP:::1";
  // extendedKeyUsage, as OpenSSL writes it; empty: none, so for anything.
  std::string usage = {};
  bool is_ca = false;
  // Seen from now.
  absl::Duration starts = -absl::Hours(1);
  absl::Duration ends = absl::Hours(24);
  // 0: an elliptic curve, P-256.
  int rsa_bits = 0;
};

// A CA that signs itself.
Identity MakeAuthority(const std::string& common_name);
// Signed by `issuer`, or by itself for nullptr.
Identity MakeCertificate(const CertificateSpec& spec, const Identity* issuer);

// The key of `identity`, encrypted.
std::string EncryptKey(const Identity& identity);

// SHA-256 of the first certificate of `pem`, in hex.
std::string FingerprintOf(const std::string& pem);

}  // namespace flashcore::testing

#endif  // FLASHCORE_TESTS_SERVER_SECURITY_CERTIFICATES_H_
