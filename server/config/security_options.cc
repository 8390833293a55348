#include "server/config/security_options.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstdint>

#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "server/config/flag_checks.h"

using flashcore::SecurityOptions;

ABSL_FLAG(std::string, tls_cert, SecurityOptions().tls.cert,
          "PEM file with the server's certificate and then those between it and the CA that clients know. With "
          "--tls_key: every TCP port speaks only TLS, 1.2 or newer; --unix_socket and --health_listen stay plaintext");
ABSL_FLAG(std::string, tls_key, SecurityOptions().tls.key,
          "PEM file with the private key of --tls_cert, not encrypted. Only the server should be able to read it");
ABSL_FLAG(std::string, tls_client_ca, SecurityOptions().tls.client_ca,
          "PEM file with CAs: only clients that show a certificate signed by one of them may connect (mutual TLS). "
          "Empty: clients show none");
ABSL_FLAG(
    absl::Duration, tls_reload_period, SecurityOptions().reload_period,
    "How often the files of --tls_* and --auth_tokens_file are looked at, 100ms to 1h. A change is taken once two "
    "looks "
    "in a row have seen it, for new connections and calls; files that do not fit together are not, and the old ones "
    "stay in use");
ABSL_FLAG(
    std::string, auth_tokens_file, SecurityOptions().auth_tokens_file,
    "File of bearer tokens, one a line, 'TOKEN' or 'NAME:TOKEN' with 16 to 1024 of the characters that RFC 6750 "
    "allows, 32 or more of them random: openssl rand -hex 32. Lines that begin with # are comments. Every call, those "
    "of the health service excepted, must then carry the metadata 'authorization: Bearer TOKEN'. Empty: no tokens");
ABSL_FLAG(bool, insecure, SecurityOptions().insecure,
          "Allow plaintext on addresses that others can reach: for a network that keeps everybody else out, such as "
          "that of a container whose ports are published on loopback, or behind a proxy that speaks TLS");
ABSL_FLAG(std::string, health_listen, SecurityOptions().health_listen,
          "host:port where gRPC's health service answers in plaintext and nothing else does, for probes that speak no "
          "TLS such as Kubernetes'. Any address may do: it tells whether the server serves. Empty: none");
ABSL_FLAG(absl::Duration, max_connection_age, SecurityOptions().max_connection_age,
          "After about this long a connection takes no new calls and the client makes a new one, with the certificates "
          "of then, 1s to 480h. 0s: never");
ABSL_FLAG(absl::Duration, max_connection_age_grace, SecurityOptions().max_connection_age_grace,
          "How long calls and streams of such a connection may go on before they are ended, 0s to 480h");

namespace flashcore {
namespace {

constexpr absl::Duration kLeastReloadPeriod = absl::Milliseconds(100);
constexpr absl::Duration kGreatestReloadPeriod = absl::Hours(1);
constexpr absl::Duration kLeastConnectionAge = absl::Seconds(1);
// gRPC counts milliseconds in an int, which hold 24 days.
constexpr absl::Duration kGreatestConnectionAge = absl::Hours(480);
constexpr uint32_t kLoopbackNet = 127;
constexpr int kLoopbackNetShift = 24;

absl::Status CheckTls(const TlsFiles& tls) {
  if (tls.key.empty() && !tls.cert.empty()) return BadFlag("tls_cert", "needs --tls_key as well");
  if (tls.cert.empty() && !tls.key.empty()) return BadFlag("tls_key", "needs --tls_cert as well");
  if (tls.cert.empty() && !tls.client_ca.empty()) {
    return BadFlag("tls_client_ca", "needs --tls_cert and --tls_key: without TLS clients cannot show certificates");
  }
  return absl::OkStatus();
}

// The one rule: what leaves the machine is encrypted.
absl::Status CheckPlaintext(const SecurityOptions& options, const std::vector<std::string>& listen_addresses) {
  if (!options.tls.cert.empty() || options.insecure) return absl::OkStatus();
  for (const std::string& address : listen_addresses) {
    if (IsLoopback(address)) continue;
    return BadFlag("listen", "'", address, "' can be reached from other machines, and would serve them in plaintext",
                   options.auth_tokens_file.empty() ? "" : ", tokens included",
                   ". Give it --tls_cert and --tls_key; or listen on 127.0.0.1; or, on a network that keeps everybody "
                   "else out, say --insecure");
  }
  return absl::OkStatus();
}

}  // namespace

bool IsLoopback(absl::string_view address) {
  absl::string_view host = address.substr(0, address.rfind(':'));
  if (absl::EqualsIgnoreCase(host, "localhost")) return true;
  in_addr v4 = {};
  if (inet_pton(AF_INET, std::string(host).c_str(), &v4) == 1) {
    return ntohl(v4.s_addr) >> kLoopbackNetShift == kLoopbackNet;
  }
  in6_addr v6 = {};
  if (!absl::ConsumePrefix(&host, "[") || !absl::ConsumeSuffix(&host, "]")) return false;
  return inet_pton(AF_INET6, std::string(host).c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

SecurityOptions SecurityOptionsFromFlags() {
  return {.tls = {.cert = absl::GetFlag(FLAGS_tls_cert),
                  .key = absl::GetFlag(FLAGS_tls_key),
                  .client_ca = absl::GetFlag(FLAGS_tls_client_ca)},
          .auth_tokens_file = absl::GetFlag(FLAGS_auth_tokens_file),
          .reload_period = absl::GetFlag(FLAGS_tls_reload_period),
          .insecure = absl::GetFlag(FLAGS_insecure),
          .health_listen = absl::GetFlag(FLAGS_health_listen),
          .max_connection_age = absl::GetFlag(FLAGS_max_connection_age),
          .max_connection_age_grace = absl::GetFlag(FLAGS_max_connection_age_grace)};
}

absl::Status ValidateSecurityOptions(const SecurityOptions& options, const std::vector<std::string>& listen_addresses) {
  absl::Status status = CheckTls(options.tls);
  if (status.ok()) status = CheckPlaintext(options, listen_addresses);
  if (status.ok()) {
    status = CheckDuration("tls_reload_period", options.reload_period, kLeastReloadPeriod, kGreatestReloadPeriod);
  }
  if (status.ok() && !options.health_listen.empty()) status = CheckAddress("health_listen", options.health_listen);
  if (status.ok() && options.max_connection_age != absl::ZeroDuration()) {
    status =
        CheckDuration("max_connection_age", options.max_connection_age, kLeastConnectionAge, kGreatestConnectionAge);
  }
  if (status.ok()) {
    status = CheckDuration("max_connection_age_grace", options.max_connection_age_grace, absl::ZeroDuration(),
                           kGreatestConnectionAge);
  }
  return status;
}

}  // namespace flashcore
