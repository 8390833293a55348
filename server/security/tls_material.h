// What a TLS server shows and whom it trusts, checked before gRPC sees it: gRPC only says no.
#ifndef FLASHCORE_SERVER_SECURITY_TLS_MATERIAL_H_
#define FLASHCORE_SERVER_SECURITY_TLS_MATERIAL_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace flashcore {

// PEM texts. The chain begins with the server's own certificate. An empty `client_ca`: clients show no certificate.
struct TlsMaterial {
  std::string certificate_chain;
  std::string private_key;
  std::string client_ca;
};

struct TlsFacts {
  // While all certificates of the chain are valid.
  absl::Time not_before;
  absl::Time not_after;
  // When the first of the client CAs ends; infinite without one.
  absl::Time client_ca_not_after = absl::InfiniteFuture();
  // SHA-256 of the server's own certificate, in hex, as `openssl x509 -noout -fingerprint -sha256` has it.
  std::string fingerprint;
};

// INVALID_ARGUMENT names the flag of the file and what is wrong with it: no PEM, cut short, a key that is encrypted or
// another certificate's, weaker than OpenSSL accepts. Says nothing about dates. Thread-safe.
absl::StatusOr<TlsFacts> CheckTlsMaterial(const TlsMaterial& material);

// INVALID_ARGUMENT if the chain is not valid yet or no longer.
absl::Status CheckDates(const TlsFacts& facts, absl::Time now);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_SECURITY_TLS_MATERIAL_H_
