// What the gRPC servers of this process are built with besides their services and ports.
#ifndef FLASHCORE_SERVER_RPC_BUILDER_OPTIONS_H_
#define FLASHCORE_SERVER_RPC_BUILDER_OPTIONS_H_

#include <grpcpp/server_builder.h>

#include "server/rpc/server.h"

namespace flashcore {

// Memory, messages, calls and headers of the server that computes.
void SetBounds(const RpcOptions& options, grpc::ServerBuilder& builder);

// The same for one that only answers probes.
void SetProbeBounds(grpc::ServerBuilder& builder);

// How long connections may take to begin, be silent and last.
void SetConnectionHabits(const RpcOptions& options, grpc::ServerBuilder& builder);

// Takes reflection out of one server: once its library is there, every server of the process gets it.
void RemoveReflection(grpc::ServerBuilder& builder);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_BUILDER_OPTIONS_H_
