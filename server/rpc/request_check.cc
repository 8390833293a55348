#include "server/rpc/request_check.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "flashcore/v1/attention.pb.h"

namespace flashcore {
namespace {

absl::Status Invalid(absl::string_view path, absl::string_view got, absl::string_view want) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": got ", got, ", want ", want));
}

std::string ShapeText(const WireTensor& tensor) {
  return absl::StrCat("[", absl::StrJoin(tensor.shape.begin(), tensor.shape.begin() + tensor.rank, ", "), "]");
}

// "DTYPE_FP16", or the number where it has no name.
std::string DTypeText(int32_t dtype) {
  return v1::DType_IsValid(dtype) ? v1::DType_Name(static_cast<v1::DType>(dtype)) : absl::StrCat(dtype);
}

// A tensor that is consistent in itself.
struct CheckedTensor {
  DType dtype = DType::kFloat16;
  TensorLayout layout = TensorLayout::kBhsd;
  int64_t batch = 0;
  int64_t heads = 0;
  int64_t rows = 0;
  int64_t head_dim = 0;

  Strides strides() const {
    return layout == TensorLayout::kBhsd ? StridesBhsd(heads, rows, head_dim) : StridesBshd(heads, rows, head_dim);
  }
};

// The checks of one tensor; `path` is "q", "k" or "v".
class TensorCheck {
 public:
  TensorCheck(absl::string_view path, const WireTensor& wire) : path_(path), wire_(wire) {}

  absl::StatusOr<CheckedTensor> Run() const;

 private:
  std::string Field(absl::string_view field) const { return absl::StrCat(path_, ".", field); }
  absl::StatusOr<DType> CheckDType() const;
  absl::StatusOr<TensorLayout> CheckLayout() const;
  absl::Status CheckShape(TensorLayout layout) const;
  absl::Status CheckByteCount(DType dtype) const;

  const absl::string_view path_;
  const WireTensor& wire_;
};

absl::StatusOr<CheckedTensor> TensorCheck::Run() const {
  if (!wire_.present) return Invalid(path_, "nothing", "a Tensor of rank 4");
  const absl::StatusOr<DType> dtype = CheckDType();
  if (!dtype.ok()) return dtype.status();
  const absl::StatusOr<TensorLayout> layout = CheckLayout();
  if (!layout.ok()) return layout.status();
  if (absl::Status status = CheckShape(*layout); !status.ok()) return status;
  if (absl::Status status = CheckByteCount(*dtype); !status.ok()) return status;
  const auto& shape = wire_.shape;
  const bool heads_first = *layout == TensorLayout::kBhsd;
  return CheckedTensor{.dtype = *dtype,
                       .layout = *layout,
                       .batch = shape[0],
                       .heads = heads_first ? shape[1] : shape[2],
                       .rows = heads_first ? shape[2] : shape[1],
                       .head_dim = shape[3]};
}

absl::StatusOr<DType> TensorCheck::CheckDType() const {
  switch (wire_.dtype) {
    case v1::DTYPE_FP16:
      return DType::kFloat16;
    case v1::DTYPE_BF16:
      return DType::kBFloat16;
    case v1::DTYPE_FP32:
      return DType::kFloat32;
    default:
      return Invalid(Field("dtype"), DTypeText(wire_.dtype), "DTYPE_FP16, DTYPE_BF16 or DTYPE_FP32");
  }
}

absl::StatusOr<TensorLayout> TensorCheck::CheckLayout() const {
  switch (wire_.layout) {
    case v1::LAYOUT_UNSPECIFIED:
    case v1::LAYOUT_BHSD:
      return TensorLayout::kBhsd;
    case v1::LAYOUT_BSHD:
      return TensorLayout::kBshd;
    default:
      return Invalid(Field("layout"), absl::StrCat(wire_.layout), "LAYOUT_BHSD or LAYOUT_BSHD");
  }
}

absl::Status TensorCheck::CheckShape(TensorLayout layout) const {
  if (wire_.rank != kTensorRank) {
    return Invalid(Field("shape"), absl::StrCat(ShapeText(wire_), " of rank ", wire_.rank),
                   layout == TensorLayout::kBhsd ? "rank 4: [batch, heads, sequence, head_dim]"
                                                 : "rank 4: [batch, sequence, heads, head_dim]");
  }
  if (*std::min_element(wire_.shape.begin(), wire_.shape.end()) < 1) {
    return Invalid(Field("shape"), ShapeText(wire_), "every dimension at least 1");
  }
  return absl::OkStatus();
}

absl::Status TensorCheck::CheckByteCount(DType dtype) const {
  const size_t got_bytes = wire_.data.length_bytes;
  auto want_bytes = static_cast<int64_t>(SizeOf(dtype));
  for (const int64_t dimension : wire_.shape) {
    if (__builtin_mul_overflow(want_bytes, dimension, &want_bytes)) {
      return Invalid(Field("shape"), absl::StrCat(ShapeText(wire_), ", whose size in bytes overflows 64 bits"),
                     absl::StrCat("the shape of the ", got_bytes, " bytes in ", Field("data")));
    }
  }
  if (static_cast<uint64_t>(want_bytes) != got_bytes) {
    return Invalid(Field("data"), absl::StrCat(got_bytes, " bytes"),
                   absl::StrCat(want_bytes, " for ", Field("shape"), " ", ShapeText(wire_), " of ", Name(dtype)));
  }
  return absl::OkStatus();
}

absl::Status CheckHeadDim(const CheckedTensor& q) {
  if (q.head_dim < kMinHeadDim || q.head_dim > kMaxHeadDim || q.head_dim % kHeadDimMultiple != 0) {
    return Invalid("q.shape", absl::StrCat("head_dim ", q.head_dim),
                   absl::StrCat("a multiple of ", kHeadDimMultiple, " from ", kMinHeadDim, " to ", kMaxHeadDim));
  }
  return absl::OkStatus();
}

absl::Status CheckKeyAgainstQuery(const CheckedTensor& q, const CheckedTensor& k) {
  if (k.dtype != q.dtype) return Invalid("k.dtype", Name(k.dtype), absl::StrCat("q's ", Name(q.dtype)));
  if (k.batch != q.batch) {
    return Invalid("k.shape", absl::StrCat("batch ", k.batch), absl::StrCat("q's ", q.batch));
  }
  if (k.head_dim != q.head_dim) {
    return Invalid("k.shape", absl::StrCat("head_dim ", k.head_dim), absl::StrCat("q's ", q.head_dim));
  }
  if (q.heads % k.heads != 0) {
    return Invalid("k.shape", absl::StrCat(k.heads, " heads"), absl::StrCat("a divisor of q's ", q.heads, " heads"));
  }
  return absl::OkStatus();
}

absl::Status CheckValueAgainstKey(const CheckedTensor& k, const CheckedTensor& v) {
  if (v.dtype != k.dtype) return Invalid("v.dtype", Name(v.dtype), absl::StrCat("k's ", Name(k.dtype)));
  const auto shape = [](const CheckedTensor& t) {
    return absl::StrCat("batch ", t.batch, ", heads ", t.heads, ", sequence ", t.rows, ", head_dim ", t.head_dim);
  };
  if (v.batch != k.batch || v.heads != k.heads || v.rows != k.rows || v.head_dim != k.head_dim) {
    return Invalid("v.shape", shape(v), absl::StrCat("k's: ", shape(k)));
  }
  return absl::OkStatus();
}

// -1: off. `bound`: more keys than there are positions.
absl::StatusOr<int64_t> CheckWindow(absl::string_view path, std::optional<int64_t> window, int64_t bound) {
  const int64_t keys = window.value_or(-1);
  if (keys < -1) return Invalid(path, absl::StrCat(keys), "-1 (off) or a number of keys, at least 0");
  return std::min(keys, bound);
}

absl::Status FillOptions(const WireOptions& wire, AttentionProblem& problem) {
  AttentionOptions& options = problem.options;
  options.causal = wire.causal;
  options.sm_scale = wire.sm_scale.value_or(DefaultScale(problem.head_dim));
  if (!std::isfinite(options.sm_scale) || options.sm_scale <= 0) {
    return Invalid("options.sm_scale", absl::StrCat(options.sm_scale),
                   "a finite number > 0, or none for 1 / sqrt(head_dim)");
  }
  options.logits_soft_cap = wire.logits_soft_cap;
  if (!std::isfinite(options.logits_soft_cap) || options.logits_soft_cap < 0) {
    return Invalid("options.logits_soft_cap", absl::StrCat(options.logits_soft_cap), "a finite number >= 0; 0 is off");
  }
  const int64_t bound = problem.q_len + problem.kv_len;
  const absl::StatusOr<int64_t> left = CheckWindow("options.window_left", wire.window_left, bound);
  if (!left.ok()) return left.status();
  const absl::StatusOr<int64_t> right = CheckWindow("options.window_right", wire.window_right, bound);
  if (!right.ok()) return right.status();
  options.window_left = *left;
  options.window_right = *right;
  return absl::OkStatus();
}

absl::StatusOr<Priority> CheckPriority(int32_t priority) {
  switch (priority) {
    case v1::PRIORITY_LOW:
      return Priority::kLow;
    case v1::PRIORITY_UNSPECIFIED:
    case v1::PRIORITY_NORMAL:
      return Priority::kNormal;
    case v1::PRIORITY_HIGH:
      return Priority::kHigh;
    default:
      return Invalid("priority", absl::StrCat(priority), "PRIORITY_LOW, PRIORITY_NORMAL or PRIORITY_HIGH");
  }
}

AttentionProblem ToProblem(const CheckedTensor& q, const CheckedTensor& k, const CheckedTensor& v) {
  return AttentionProblem{.dtype = q.dtype,
                          .batch = q.batch,
                          .num_qo_heads = q.heads,
                          .num_kv_heads = k.heads,
                          .q_len = q.rows,
                          .kv_len = k.rows,
                          .head_dim = q.head_dim,
                          .options = {},
                          .q_strides = q.strides(),
                          .k_strides = k.strides(),
                          .v_strides = v.strides(),
                          .o_strides = q.strides()};
}

}  // namespace

absl::StatusOr<CheckedRequest> CheckRequest(const WireRequest& request) {
  const absl::StatusOr<CheckedTensor> q = TensorCheck("q", request.q).Run();
  if (!q.ok()) return q.status();
  const absl::StatusOr<CheckedTensor> k = TensorCheck("k", request.k).Run();
  if (!k.ok()) return k.status();
  const absl::StatusOr<CheckedTensor> v = TensorCheck("v", request.v).Run();
  if (!v.ok()) return v.status();
  for (const absl::Status& status : {CheckHeadDim(*q), CheckKeyAgainstQuery(*q, *k), CheckValueAgainstKey(*k, *v)}) {
    if (!status.ok()) return status;
  }
  const absl::StatusOr<Priority> priority = CheckPriority(request.priority);
  if (!priority.ok()) return priority.status();
  CheckedRequest checked{.problem = ToProblem(*q, *k, *v),
                         .return_lse = request.options.return_lse,
                         .priority = *priority,
                         .q_layout = q->layout,
                         .q = request.q.data,
                         .k = request.k.data,
                         .v = request.v.data};
  if (absl::Status status = FillOptions(request.options, checked.problem); !status.ok()) return status;
  if (absl::Status status = ValidateProblem(checked.problem); !status.ok()) return status;
  return checked;
}

}  // namespace flashcore
