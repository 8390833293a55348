// Random requests in every encoding that proto3 allows, and what the wire reader must make of them.
#ifndef FLASHCORE_TESTS_SERVER_RPC_WIRE_EXPECTATIONS_H_
#define FLASHCORE_TESTS_SERVER_RPC_WIRE_EXPECTATIONS_H_

#include <random>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "flashcore/v1/attention.pb.h"
#include "server/rpc/wire_reader.h"

namespace flashcore::testing {

// Few fields or many, sensible values or not; shapes of rank 0 to 5.
v1::AttendRequest RandomRequest(std::mt19937& random);

// The concatenation of a few random requests, which proto3 merges, in random field order, some shapes unpacked, with
// unknown fields of every wire type in between.
std::string SerializeShuffled(std::mt19937& random);

// A few bytes changed, inserted, removed or cut off.
void Mutate(std::string& bytes, std::mt19937& random);

// `bytes` in random pieces, many of them tiny. Views into `bytes`.
std::vector<absl::string_view> Chop(const std::string& bytes, std::mt19937& random);

// That `got` says of `bytes` what the generated parser says.
void ExpectSame(const v1::AttendRequest& want, const WireRequest& got, const std::string& bytes);

}  // namespace flashcore::testing

#endif  // FLASHCORE_TESTS_SERVER_RPC_WIRE_EXPECTATIONS_H_
