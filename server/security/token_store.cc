#include "server/security/token_store.h"

#include <utility>

#include "absl/strings/match.h"
#include "server/telemetry/logging.h"

namespace flashcore {
namespace {

constexpr char kFlag[] = "auth_tokens_file";
constexpr absl::string_view kScheme = "Bearer ";

}  // namespace

TokenStore::TokenStore(const std::string& path, SecurityMetrics& metrics)
    : metrics_(metrics),
      reloader_(
          {{kFlag, path}}, [this](const auto& contents) { return Take(contents); },
          [&metrics](const absl::Status& status) { metrics.RecordTokenReload(status.ok()); }) {}

absl::StatusOr<std::unique_ptr<TokenStore>> TokenStore::Open(const std::string& path, absl::Duration reload_period,
                                                             SecurityMetrics& metrics) {
  std::unique_ptr<TokenStore> store(new TokenStore(path, metrics));
  if (absl::Status status = store->reloader_.Load(); !status.ok()) return status;
  WarnIfReadableByOthers({kFlag, path});
  store->reloader_.StartPolling(reload_period, "tokens");
  return store;
}

absl::Status TokenStore::Take(const std::vector<std::string>& contents) {
  absl::StatusOr<TokenSet> tokens = TokenSet::Parse(contents.front());
  if (!tokens.ok()) return tokens.status();
  const size_t count = tokens->size();
  {
    const MutexLock lock(mutex_);
    current_ = std::make_shared<const TokenSet>(*std::move(tokens));
  }
  metrics_.SetTokens(count);
  LogInfo("tokens", {{"count", count}});
  return absl::OkStatus();
}

absl::Status TokenStore::Refuse(AuthFailure reason, absl::string_view message) const {
  metrics_.RecordAuthFailure(reason);
  return absl::UnauthenticatedError(message);
}

absl::Status TokenStore::Authorize(absl::Span<const absl::string_view> authorizations) const {
  if (authorizations.empty()) {
    return Refuse(AuthFailure::kMissing, "this server wants metadata 'authorization: Bearer TOKEN'");
  }
  const absl::string_view value = authorizations.front();
  if (authorizations.size() > 1 || !absl::StartsWithIgnoreCase(value, kScheme)) {
    return Refuse(AuthFailure::kMalformed, "want exactly one 'authorization', of the form 'Bearer TOKEN'");
  }
  std::shared_ptr<const TokenSet> tokens;
  {
    const MutexLock lock(mutex_);
    tokens = current_;
  }
  if (tokens->Contains(value.substr(kScheme.size()))) return absl::OkStatus();
  return Refuse(AuthFailure::kUnknown, "the token is not valid here");
}

}  // namespace flashcore
