#include "tests/server/rpc/wire_fuzz_target.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "kernels/attention.h"
#include "server/rpc/request_check.h"
#include "server/rpc/staging.h"
#include "server/rpc/wire_reader.h"

namespace flashcore::testing {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

// Exactly as large as the problem says, so that AddressSanitizer sees a byte too many.
void StageOne(WireChunks chunks, WireRange range, int64_t elements, DType dtype) {
  const size_t size_bytes = static_cast<size_t>(elements) * SizeOf(dtype);
  Require(range.length_bytes == size_bytes);
  std::vector<std::byte> staged(size_bytes);
  CopyRange(chunks, range, staged.data());
}

void CheckAndStage(WireChunks chunks, const WireRequest& request) {
  const absl::StatusOr<CheckedRequest> checked = CheckRequest(request);
  if (!checked.ok()) {
    Require(absl::IsInvalidArgument(checked.status()) && !checked.status().message().empty());
    return;
  }
  const AttentionProblem& problem = checked->problem;
  Require(ValidateProblem(problem).ok());
  StageOne(chunks, checked->q, QueryElements(problem), problem.dtype);
  StageOne(chunks, checked->k, KeyValueElements(problem), problem.dtype);
  StageOne(chunks, checked->v, KeyValueElements(problem), problem.dtype);
  for (const int64_t row : {int64_t{0}, problem.q_len - 1}) {
    const KeyRange visible = VisibleKeys(problem, row);
    Require(visible.begin >= 0 && visible.begin <= visible.end && visible.end <= problem.kv_len);
  }
}

}  // namespace

void ReadCheckAndStage(absl::string_view bytes) {
  const size_t chunk_bytes = bytes.empty() ? 1 : static_cast<uint8_t>(bytes[0]) + size_t{1};
  if (!bytes.empty()) bytes.remove_prefix(1);
  std::vector<absl::string_view> chunks;
  for (size_t at = 0; at < bytes.size(); at += chunk_bytes) chunks.push_back(bytes.substr(at, chunk_bytes));
  WireRequest request;
  if (ReadAttendRequest(chunks, request).ok()) CheckAndStage(chunks, request);
  WireStreamRequest stream_request;
  if (ReadAttendStreamRequest(chunks, stream_request).ok()) CheckAndStage(chunks, stream_request.request);
}

}  // namespace flashcore::testing
