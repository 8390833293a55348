// Who may reach the server, and how: TLS, tokens, and what it refuses to start with.
#ifndef FLASHCORE_SERVER_CONFIG_SECURITY_OPTIONS_H_
#define FLASHCORE_SERVER_CONFIG_SECURITY_OPTIONS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/security/tls_store.h"

namespace flashcore {

struct SecurityOptions {
  // --tls_cert, --tls_key, --tls_client_ca; all empty: plaintext.
  TlsFiles tls;
  // --auth_tokens_file; empty: no tokens.
  std::string auth_tokens_file;
  // How often these files are looked at. --tls_reload_period
  absl::Duration reload_period = absl::Seconds(10);
  // Whether plaintext may leave this machine. --insecure
  bool insecure = false;
  // "host:port" where only the health service answers, in plaintext; empty: none. --health_listen
  std::string health_listen;
  // After these the server asks clients to connect anew, and ends what they still have on the old connection; zero:
  // never. --max_connection_age, --max_connection_age_grace
  absl::Duration max_connection_age = absl::ZeroDuration();
  absl::Duration max_connection_age_grace = absl::Minutes(1);
};

// Whether nobody outside of this machine can reach the host of "host:port": 127.0.0.0/8, [::1], localhost.
bool IsLoopback(absl::string_view address);

// As the flags have them, not validated.
SecurityOptions SecurityOptionsFromFlags();

// INVALID_ARGUMENT names the flag and what would be right. `listen_addresses` are host:port.
absl::Status ValidateSecurityOptions(const SecurityOptions& options, const std::vector<std::string>& listen_addresses);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_CONFIG_SECURITY_OPTIONS_H_
