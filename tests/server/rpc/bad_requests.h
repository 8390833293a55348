// Every way to be wrong, as bytes on the wire: for the reader's own tests and for a server's.
#ifndef FLASHCORE_TESTS_SERVER_RPC_BAD_REQUESTS_H_
#define FLASHCORE_TESTS_SERVER_RPC_BAD_REQUESTS_H_

#include <string>
#include <vector>

#include "flashcore/v1/attention.pb.h"

namespace flashcore::testing {

// One that is INVALID_ARGUMENT.
struct BadRequest {
  std::string name;    // For the test's output: letters and digits.
  std::string bytes;   // An AttendRequest, or what is sent as one.
  std::string path;    // What the message starts with, before ": ".
  std::string remedy;  // What it says would be right.
};

// A valid request of `dtype` with zeros for data: batch 1, 4 query heads, 2 key/value heads, q_len 8, kv_len 16, D 16.
v1::AttendRequest ValidRequest(v1::DType dtype = v1::DTYPE_FP32);

std::vector<BadRequest> BadRequests();

}  // namespace flashcore::testing

#endif  // FLASHCORE_TESTS_SERVER_RPC_BAD_REQUESTS_H_
