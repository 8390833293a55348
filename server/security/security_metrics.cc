#include "server/security/security_metrics.h"

#include <optional>
#include <string>

#include "server/telemetry/family.h"

namespace flashcore {
namespace {

double UnixSeconds(absl::Time time) {
  return time == absl::InfiniteFuture() ? 0 : absl::ToDoubleSeconds(time - absl::UnixEpoch());
}

std::optional<double> UnlessZero(double value) { return value == 0 ? std::nullopt : std::optional<double>(value); }

double Value(const std::atomic<int64_t>& counter) { return static_cast<double>(counter.load()); }

}  // namespace

void SecurityMetrics::SetCertificateExpiry(absl::Time certificate, absl::Time client_ca) {
  certificate_expiry_ = UnixSeconds(certificate);
  client_ca_expiry_ = UnixSeconds(client_ca);
}

std::vector<prometheus::MetricFamily> SecurityMetrics::Collect() const {
  std::vector<prometheus::MetricFamily> families;
  if (certificate_expiry_ != 0) {
    AppendGauge(families, "flashcore_tls_certificate_expiry_timestamp_seconds",
                "When the first certificate of a file in use expires, since the Unix epoch.",
                {{{{"file", "tls_cert"}}, UnlessZero(certificate_expiry_)},
                 {{{"file", "tls_client_ca"}}, UnlessZero(client_ca_expiry_)}});
    AppendCounter(families, "flashcore_tls_reloads_total", "Changes of the TLS files that were taken.",
                  {{{}, Value(tls_reloads_)}});
    AppendCounter(families, "flashcore_tls_reload_failures_total",
                  "Looks at changed TLS files that were no good, so that the old ones stayed in use.",
                  {{{}, Value(tls_reload_failures_)}});
  }
  if (tokens_ == 0) return families;
  AppendGauge(families, "flashcore_auth_tokens", "Bearer tokens that are valid.", {{{}, Value(tokens_)}});
  AppendCounter(families, "flashcore_auth_reloads_total", "Changes of the tokens' file that were taken.",
                {{{}, Value(token_reloads_)}});
  AppendCounter(families, "flashcore_auth_reload_failures_total",
                "Looks at a changed tokens' file that was no good, so that the old tokens stayed valid.",
                {{{}, Value(token_reload_failures_)}});
  std::vector<Sample> failures;
  for (size_t i = 0; i < kNumAuthFailures; ++i) {
    failures.push_back({{{"reason", std::string(kAuthFailureNames[i])}}, Value(auth_failures_[i])});
  }
  AppendCounter(families, "flashcore_auth_failures_total", "Calls that were UNAUTHENTICATED.", failures);
  return families;
}

}  // namespace flashcore
