#include "server/security/tls_store.h"

#include <utility>

#include "server/telemetry/logging.h"

namespace flashcore {
namespace {

std::vector<NamedFile> ToNamedFiles(const TlsFiles& files) {
  std::vector<NamedFile> named = {{"tls_cert", files.cert}, {"tls_key", files.key}};
  if (!files.client_ca.empty()) named.push_back({"tls_client_ca", files.client_ca});
  return named;
}

}  // namespace

TlsStore::TlsStore(const TlsFiles& files, SecurityMetrics& metrics)
    : requires_client_certificate_(!files.client_ca.empty()),
      metrics_(metrics),
      reloader_(
          ToNamedFiles(files), [this](const auto& contents) { return Take(contents); },
          [&metrics](const absl::Status& status) { metrics.RecordTlsReload(status.ok()); }) {}

absl::StatusOr<std::unique_ptr<TlsStore>> TlsStore::Open(const TlsFiles& files, absl::Duration reload_period,
                                                         SecurityMetrics& metrics) {
  std::unique_ptr<TlsStore> store(new TlsStore(files, metrics));
  if (absl::Status status = store->reloader_.Load(); !status.ok()) return status;
  WarnIfReadableByOthers({"tls_key", files.key});
  store->reloader_.StartPolling(reload_period, "tls files");
  return store;
}

absl::Status TlsStore::Take(const std::vector<std::string>& contents) {
  auto material = std::make_shared<const TlsMaterial>(
      TlsMaterial{.certificate_chain = contents[0],
                  .private_key = contents[1],
                  .client_ca = requires_client_certificate_ ? contents[2] : std::string()});
  const absl::StatusOr<TlsFacts> facts = CheckTlsMaterial(*material);
  if (!facts.ok()) return facts.status();
  absl::Status dates = CheckDates(*facts, absl::Now());
  // A server that does not start tells nobody when its certificate expired; one that serves does, in its metrics.
  if (!dates.ok() && Current() != nullptr) return dates;
  if (!dates.ok()) LogWarning("clients will refuse this certificate", {{"status", dates}});
  {
    const MutexLock lock(mutex_);
    current_ = std::move(material);
  }
  metrics_.SetCertificateExpiry(facts->not_after, facts->client_ca_not_after);
  LogInfo("tls certificate", {{"sha256", facts->fingerprint},
                              {"not_after", absl::FormatTime(facts->not_after, absl::UTCTimeZone())},
                              {"client_certificates", requires_client_certificate_}});
  return absl::OkStatus();
}

std::shared_ptr<const TlsMaterial> TlsStore::Current() const {
  const MutexLock lock(mutex_);
  return current_;
}

}  // namespace flashcore
