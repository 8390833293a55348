// What the server tells Prometheus about its certificates, its tokens and those who came without.
#ifndef FLASHCORE_SERVER_SECURITY_SECURITY_METRICS_H_
#define FLASHCORE_SERVER_SECURITY_SECURITY_METRICS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace flashcore {

// Why a call was UNAUTHENTICATED.
enum class AuthFailure : uint8_t { kMissing, kMalformed, kUnknown };
inline constexpr size_t kNumAuthFailures = 3;
inline constexpr std::array<absl::string_view, kNumAuthFailures> kAuthFailureNames = {"missing", "malformed",
                                                                                      "unknown"};

// Thread-safe. Recording costs an atomic addition. The series of TLS are there from the first SetCertificateExpiry on,
// those of tokens from the first SetTokens on: a server without has none.
class SecurityMetrics final : public prometheus::Collectable {
 public:
  // When the chain of the server, and the first of the client CAs, end. The latter is infinite without client CAs.
  void SetCertificateExpiry(absl::Time certificate, absl::Time client_ca);
  void RecordTlsReload(bool good) { (good ? tls_reloads_ : tls_reload_failures_).fetch_add(1); }

  // How many tokens are in use.
  void SetTokens(size_t count) { tokens_ = static_cast<int64_t>(count); }
  void RecordTokenReload(bool good) { (good ? token_reloads_ : token_reload_failures_).fetch_add(1); }
  void RecordAuthFailure(AuthFailure reason) { auth_failures_[static_cast<size_t>(reason)].fetch_add(1); }

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  // Seconds since the Unix epoch; 0: not set.
  std::atomic<double> certificate_expiry_ = 0;
  std::atomic<double> client_ca_expiry_ = 0;
  std::atomic<int64_t> tls_reloads_ = 0;
  std::atomic<int64_t> tls_reload_failures_ = 0;
  std::atomic<int64_t> tokens_ = 0;
  std::atomic<int64_t> token_reloads_ = 0;
  std::atomic<int64_t> token_reload_failures_ = 0;
  std::array<std::atomic<int64_t>, kNumAuthFailures> auth_failures_ = {};
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_SECURITY_SECURITY_METRICS_H_
