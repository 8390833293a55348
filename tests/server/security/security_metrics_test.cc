#include "server/security/security_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "prometheus/text_serializer.h"

namespace flashcore {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Text(const SecurityMetrics& metrics) { return prometheus::TextSerializer().Serialize(metrics.Collect()); }

TEST(SecurityMetricsTest, NothingWithoutTlsAndTokens) { EXPECT_EQ(Text(SecurityMetrics()), ""); }

TEST(SecurityMetricsTest, Tls) {
  SecurityMetrics metrics;
  metrics.SetCertificateExpiry(absl::FromUnixSeconds(1700000000), absl::InfiniteFuture());
  metrics.RecordTlsReload(true);
  metrics.RecordTlsReload(false);
  metrics.RecordTlsReload(false);
  const std::string text = Text(metrics);
  EXPECT_THAT(text, HasSubstr("flashcore_tls_certificate_expiry_timestamp_seconds{file=\"tls_cert\"} 1700000000"));
  EXPECT_THAT(text, Not(HasSubstr("tls_client_ca")));
  EXPECT_THAT(text, HasSubstr("flashcore_tls_reloads_total 1"));
  EXPECT_THAT(text, HasSubstr("flashcore_tls_reload_failures_total 2"));
  EXPECT_THAT(text, Not(HasSubstr("flashcore_auth")));
  metrics.SetCertificateExpiry(absl::FromUnixSeconds(1700000000), absl::FromUnixSeconds(1800000000));
  EXPECT_THAT(Text(metrics), HasSubstr("{file=\"tls_client_ca\"} 1800000000"));
}

TEST(SecurityMetricsTest, Tokens) {
  SecurityMetrics metrics;
  metrics.SetTokens(3);
  metrics.RecordTokenReload(true);
  metrics.RecordTokenReload(false);
  metrics.RecordAuthFailure(AuthFailure::kMissing);
  metrics.RecordAuthFailure(AuthFailure::kUnknown);
  metrics.RecordAuthFailure(AuthFailure::kUnknown);
  const std::string text = Text(metrics);
  for (const char* line :
       {"flashcore_auth_tokens 3", "flashcore_auth_reloads_total 1", "flashcore_auth_reload_failures_total 1",
        "flashcore_auth_failures_total{reason=\"missing\"} 1", "flashcore_auth_failures_total{reason=\"malformed\"} 0",
        "flashcore_auth_failures_total{reason=\"unknown\"} 2"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  EXPECT_THAT(text, Not(HasSubstr("flashcore_tls")));
}

}  // namespace
}  // namespace flashcore
