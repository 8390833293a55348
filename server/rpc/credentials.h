// How a port lets connections and calls in: TLS with certificates that can change while it listens, and bearer tokens
// looked at before a call's message is read.
//
// Made on gRPC's C API: the C++ one can neither change certificates after having checked them, nor look at the metadata
// of calls without TLS.
#ifndef FLASHCORE_SERVER_RPC_CREDENTIALS_H_
#define FLASHCORE_SERVER_RPC_CREDENTIALS_H_

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "server/security/tls_store.h"
#include "server/security/token_store.h"

namespace flashcore {

// For one port. `tls` nullptr: plaintext; else each new connection gets what tls->Current() is then, TLS 1.2 or newer.
// `tokens` nullptr: everybody may call; else every call of whatever service passes `tokens` or ends with
// UNAUTHENTICATED, except for those of the health service, which probes call. The stores and, with TLS, the result
// itself outlive the grpc::Server: gRPC asks it about each connection.
std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(const TlsStore* tls, const TokenStore* tokens);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_CREDENTIALS_H_
