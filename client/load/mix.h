// What to ask for: a weighted mix of request shapes, written as text.
//
//   entry  = shape {option}            entries are separated by ';' or by a new line; '#' starts a comment
//   shape  = B,H,S,D                   batch, heads, sequence, head_dim: self-attention
//          | B,Hq,Hkv,Sq,Skv,D         with fewer key/value heads (GQA, MQA) or another key/value length
//   option = fp16 | bf16 | fp32        dtype; fp16 if left out
//          | bhsd | bshd               layout of all tensors; bhsd if left out
//          | causal | lse
//          | window_left=N | window_right=N | soft_cap=X | sm_scale=X
//          | priority=low | priority=normal | priority=high
//          | weight=X                  how often, relative to the other entries; 1 if left out
//
// For example: "1,8,512,64; 2,16,4,128,384,128 bf16 causal lse weight=0.5".
#ifndef FLASHCORE_CLIENT_LOAD_MIX_H_
#define FLASHCORE_CLIENT_LOAD_MIX_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/attend.h"
#include "client/tensor.h"

namespace flashcore {

struct MixEntry {
  int64_t batch = 0;
  int64_t num_qo_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t q_len = 0;
  int64_t kv_len = 0;
  int64_t head_dim = 0;
  DType dtype = DType::kFloat16;
  Layout layout = Layout::kBhsd;
  AttendOptions options;
  std::optional<Priority> priority;  // Left out: whatever the run's is.
  double weight = 1;
  std::string text;  // As written.

  TensorSpec QuerySpec() const;
  TensorSpec KeyValueSpec() const;
};

// Never empty. INVALID_ARGUMENT says which entry is wrong, and how. Sizes and options only have to be readable: to send
// a server what it must refuse is a fair use of a load client.
absl::StatusOr<std::vector<MixEntry>> ParseMix(absl::string_view text);

struct NamedMix {
  absl::string_view name;
  absl::string_view text;
};

// "mission" and "mixed".
const std::vector<NamedMix>& BuiltInMixes();

// A built-in name, '@' and a file's path, or the text itself. NOT_FOUND if there is no such file; else as ParseMix.
absl::StatusOr<std::vector<MixEntry>> LoadMix(absl::string_view spec);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_MIX_H_
