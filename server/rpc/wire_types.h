// Our types by their names on the wire.
#ifndef FLASHCORE_SERVER_RPC_WIRE_TYPES_H_
#define FLASHCORE_SERVER_RPC_WIRE_TYPES_H_

#include "flashcore/v1/attention.pb.h"
#include "kernels/attention.h"

namespace flashcore {

v1::DType ToWire(DType dtype);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_WIRE_TYPES_H_
