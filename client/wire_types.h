// The wire contract's enumerations and statuses as the client's own types. Internal to the client library.
#ifndef FLASHCORE_CLIENT_WIRE_TYPES_H_
#define FLASHCORE_CLIENT_WIRE_TYPES_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <optional>

#include "absl/status/status.h"
#include "client/attend.h"
#include "client/tensor.h"
#include "flashcore/v1/attention.pb.h"

namespace flashcore {

v1::DType ToWire(DType dtype);
v1::Layout ToWire(Layout layout);
v1::Priority ToWire(Priority priority);

// nullopt for a dtype that this client does not know.
std::optional<DType> DTypeFromWire(int dtype);
// A layout left out means BHSD.
Layout LayoutFromWire(int layout);

// The same code and message, with the server's retry hint if the call's trailers carry one.
absl::Status FromGrpc(const grpc::Status& status, const grpc::ClientContext& context);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_WIRE_TYPES_H_
