#include "client/attend/options.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"
#include "client/attend/npy.h"
#include "client/load/mix.h"

ABSL_FLAG(std::string, shape, "1,8,512,64",
          "Of random tensors: B,H,S,D, or B,Hq,Hkv,Sq,Skv,D for fewer key/value heads or another key/value length.");
ABSL_FLAG(std::string, dtype, "",
          "fp16, bf16 or fp32. Random tensors are fp16 if it is left out; .npy files say themselves what they are, "
          "except bf16, which NumPy lacks: give --dtype=bf16 and files of '<u2' that hold its bits.");
ABSL_FLAG(std::string, layout, "bhsd",
          "Order of all tensors' dimensions: bhsd (as PyTorch) or bshd (as flash-attention).");
ABSL_FLAG(uint64_t, seed, 1, "Of random tensors.");
ABSL_FLAG(std::string, q, "", "Read Q from this .npy file, together with --k and --v, instead of random tensors.");
ABSL_FLAG(std::string, k, "", "Read K from this .npy file.");
ABSL_FLAG(std::string, v, "", "Read V from this .npy file.");
ABSL_FLAG(bool, causal, false, "A query sees no key after itself; the last query is aligned with the last key.");
ABSL_FLAG(absl::optional<float>, sm_scale, absl::nullopt, "Multiplies Q K^T. Left out: 1 / sqrt(head_dim).");
ABSL_FLAG(float, logits_soft_cap, 0, "c > 0 replaces each logit x by c * tanh(x / c). 0: off.");
ABSL_FLAG(int64_t, window_left, -1, "How many keys before itself a query sees. -1: all.");
ABSL_FLAG(int64_t, window_right, -1, "How many keys after itself a query sees. -1: all.");
ABSL_FLAG(bool, lse, false, "Also ask for each row's log-sum-exp.");
ABSL_FLAG(std::string, priority, "normal",
          "Where the server is busy: low (what can wait), normal, or high (what somebody waits for).");
ABSL_FLAG(std::string, out, "", "Write O to this .npy file (bf16 as '<u2').");
ABSL_FLAG(std::string, lse_out, "", "Write the log-sum-exp to this .npy file; implies --lse.");
ABSL_FLAG(bool, verify, false,
          "Compute the answer here too, in double precision, and compare. A wrong answer makes the exit code 1.");
ABSL_FLAG(bool, json, false, "Print the summary as JSON.");
ABSL_FLAG(absl::Duration, timeout, absl::Seconds(60), "Deadline of the request. 'inf': none.");
ABSL_FLAG(absl::Duration, wait_ready, absl::ZeroDuration(),
          "How long to wait until the server's health check says SERVING. 0: do not ask.");

namespace flashcore {
namespace {

absl::StatusOr<std::optional<DType>> ParseDType(const std::string& text) {
  if (text.empty()) return std::optional<DType>();
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kFloat32}) {
    if (text == Name(dtype)) return std::optional<DType>(dtype);
  }
  return absl::InvalidArgumentError(absl::StrCat("--dtype=", text, ": must be fp16, bf16 or fp32"));
}

absl::StatusOr<Layout> ParseLayout(const std::string& text) {
  for (const Layout layout : {Layout::kBhsd, Layout::kBshd}) {
    if (text == Name(layout)) return layout;
  }
  return absl::InvalidArgumentError(absl::StrCat("--layout=", text, ": must be bhsd or bshd"));
}

absl::StatusOr<AttendInputs> RandomInputs(DType dtype, Layout layout) {
  // A mix's entry starts with the same shape.
  const std::string shape = absl::GetFlag(FLAGS_shape);
  absl::StatusOr<std::vector<MixEntry>> mix = ParseMix(shape);
  if (!mix.ok() || mix->size() != 1 || shape.find_first_not_of("0123456789,") != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("--shape=", shape, ": must be B,H,S,D or B,Hq,Hkv,Sq,Skv,D, like 1,8,512,64"));
  }
  MixEntry& entry = mix->front();
  entry.dtype = dtype;
  entry.layout = layout;
  const uint64_t seed = absl::GetFlag(FLAGS_seed);
  return AttendInputs{.q = Tensor::Random(entry.QuerySpec(), seed),
                      .k = Tensor::Random(entry.KeyValueSpec(), seed + 1),
                      .v = Tensor::Random(entry.KeyValueSpec(), seed + 2)};
}

absl::StatusOr<AttendInputs> InputsFromFiles(std::optional<DType> dtype, Layout layout) {
  const std::vector<std::string> paths = {absl::GetFlag(FLAGS_q), absl::GetFlag(FLAGS_k), absl::GetFlag(FLAGS_v)};
  std::vector<Tensor> tensors;
  for (const std::string& path : paths) {
    if (path.empty()) return absl::InvalidArgumentError("--q, --k, --v: give all three, or none for random tensors");
    absl::StatusOr<Tensor> tensor = ReadNpyFile(path, layout, dtype);
    if (!tensor.ok()) return tensor.status();
    tensors.push_back(*std::move(tensor));
  }
  return AttendInputs{.q = tensors[0], .k = tensors[1], .v = tensors[2]};
}

AttendOptions AttendOptionsFromFlags() {
  AttendOptions options{.causal = absl::GetFlag(FLAGS_causal),
                        .logits_soft_cap = absl::GetFlag(FLAGS_logits_soft_cap),
                        .window_left = absl::GetFlag(FLAGS_window_left),
                        .window_right = absl::GetFlag(FLAGS_window_right),
                        .return_lse = absl::GetFlag(FLAGS_lse) || !absl::GetFlag(FLAGS_lse_out).empty()};
  if (const absl::optional<float> scale = absl::GetFlag(FLAGS_sm_scale); scale.has_value()) options.sm_scale = *scale;
  return options;
}

absl::StatusOr<AttendInputs> InputsFromFlags() {
  const absl::StatusOr<std::optional<DType>> dtype = ParseDType(absl::GetFlag(FLAGS_dtype));
  if (!dtype.ok()) return dtype.status();
  const absl::StatusOr<Layout> layout = ParseLayout(absl::GetFlag(FLAGS_layout));
  if (!layout.ok()) return layout.status();
  const bool files =
      !absl::GetFlag(FLAGS_q).empty() || !absl::GetFlag(FLAGS_k).empty() || !absl::GetFlag(FLAGS_v).empty();
  return files ? InputsFromFiles(*dtype, *layout) : RandomInputs(dtype->value_or(DType::kFloat16), *layout);
}

}  // namespace

const absl::string_view kAttendSynopsis =
    "flashcore_attend sends one attention request to a FlashCore server and says what came back.\n\n"
    "  flashcore_attend --target=localhost:50051 --verify\n"
    "  flashcore_attend --shape=1,32,8,1,4096,128 --dtype=bf16 --causal --lse\n"
    "  flashcore_attend --q=q.npy --k=k.npy --v=v.npy --out=o.npy\n\n"
    "Exit code: 0 all is well, 1 an error or a wrong answer, 2 wrong usage.";

absl::StatusOr<AttendToolOptions> AttendToolOptionsFromFlags() {
  absl::StatusOr<ServerChoice> server = ServerFromFlags();
  if (!server.ok()) return server.status();
  if (absl::GetFlag(FLAGS_timeout) <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError("--timeout: must be above 0, like 10s or 500ms");
  }
  const std::optional<Priority> priority = PriorityFromName(absl::GetFlag(FLAGS_priority));
  if (!priority.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--priority=", absl::GetFlag(FLAGS_priority), ": must be low, normal or high"));
  }
  absl::StatusOr<AttendInputs> inputs = InputsFromFlags();
  if (!inputs.ok()) return inputs.status();
  return AttendToolOptions{.server = *std::move(server),
                           .inputs = *std::move(inputs),
                           .attend = AttendOptionsFromFlags(),
                           .priority = *priority,
                           .timeout = absl::GetFlag(FLAGS_timeout),
                           .wait_ready = absl::GetFlag(FLAGS_wait_ready),
                           .out_path = absl::GetFlag(FLAGS_out),
                           .lse_out_path = absl::GetFlag(FLAGS_lse_out),
                           .json = absl::GetFlag(FLAGS_json),
                           .verify = absl::GetFlag(FLAGS_verify)};
}

}  // namespace flashcore
