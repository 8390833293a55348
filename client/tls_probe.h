// What gRPC does not say of TLS: whether the files can be used, and why no connection comes about. OpenSSL by itself,
// beside gRPC, and for the message only: whom a client trusts, gRPC decides. Internal to the client library.
#ifndef FLASHCORE_CLIENT_TLS_PROBE_H_
#define FLASHCORE_CLIENT_TLS_PROBE_H_

#include <string>

#include "absl/status/status.h"
#include "client/security.h"

namespace flashcore {

// INVALID_ARGUMENT names the field whose file cannot be read, is no PEM, needs a passphrase, or does not fit the other.
absl::Status CheckTlsFiles(const ChannelSecurity& security);

// Makes a connection of its own to `target`, and says what is wrong with it and what to do about it. Empty: nothing
// that can be seen from here, or nobody listens. Blocks, for seconds at most when the other end says nothing. Sends no
// token.
std::string ExplainConnection(const std::string& target, const ChannelSecurity& security);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_TLS_PROBE_H_
