// The certificate, key and client CAs in use, from files that are read again when they change.
#ifndef FLASHCORE_SERVER_SECURITY_TLS_STORE_H_
#define FLASHCORE_SERVER_SECURITY_TLS_STORE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "kernels/base/mutex.h"
#include "server/security/file_reloader.h"
#include "server/security/security_metrics.h"
#include "server/security/tls_material.h"

namespace flashcore {

// Paths of PEM files; an empty `client_ca`: clients show no certificate.
struct TlsFiles {
  std::string cert;
  std::string key;
  std::string client_ca;
};

// Thread-safe.
class TlsStore {
 public:
  // Reads and checks the files, and looks at them every `reload_period` from then on; what is no good then is logged
  // and counted, and the old stays. `metrics` outlives the store. INVALID_ARGUMENT names a file that is no good now;
  // only its dates do not matter yet, but for a warning.
  static absl::StatusOr<std::unique_ptr<TlsStore>> Open(const TlsFiles& files, absl::Duration reload_period,
                                                        SecurityMetrics& metrics);
  TlsStore(const TlsStore&) = delete;
  TlsStore& operator=(const TlsStore&) = delete;

  // What new connections shall use: another object after each reload, and only then. Never nullptr.
  std::shared_ptr<const TlsMaterial> Current() const;

  // Whether clients have to show a certificate.
  bool requires_client_certificate() const { return requires_client_certificate_; }

 private:
  TlsStore(const TlsFiles& files, SecurityMetrics& metrics);

  absl::Status Take(const std::vector<std::string>& contents);

  const bool requires_client_certificate_;
  SecurityMetrics& metrics_;
  mutable Mutex mutex_;
  std::shared_ptr<const TlsMaterial> current_ ABSL_GUARDED_BY(mutex_);
  FileReloader reloader_;  // Last, as its thread uses the others.
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_SECURITY_TLS_STORE_H_
