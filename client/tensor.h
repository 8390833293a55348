// A dense tensor on the client's side: dtype, shape, layout, and bytes that are shared and never change.
//
// A value type: copying one copies a reference to the bytes. That is what lets the client hand the bytes to the network
// without copying them, while the caller's own Tensor may go away at any time. Thread-safe, as nothing mutates.
#ifndef FLASHCORE_CLIENT_TENSOR_H_
#define FLASHCORE_CLIENT_TENSOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kernels/attention.h"

namespace flashcore {

// Order of a rank-4 tensor's dimensions, outermost first.
enum class Layout : uint8_t {
  kBhsd,  // [batch, heads, sequence, head_dim], as PyTorch's scaled_dot_product_attention.
  kBshd,  // [batch, sequence, heads, head_dim], as flash-attention.
};

// "bhsd" or "bshd".
absl::string_view Name(Layout layout);

// What a tensor is, without its bytes.
struct TensorSpec {
  DType dtype = DType::kFloat16;
  std::vector<int64_t> shape = {};  // In the order of `layout`.
  Layout layout = Layout::kBhsd;

  friend bool operator==(const TensorSpec&, const TensorSpec&) = default;
};

// OK if every dimension is >= 0 and the byte count fits in int64; INVALID_ARGUMENT says what is wrong. Whether a server
// accepts the tensor is the server's to say.
absl::Status ValidateSpec(const TensorSpec& spec);

// "fp16 [1, 8, 512, 64] bhsd".
std::string ToString(const TensorSpec& spec);

// The factories below need a spec that ValidateSpec accepts, and abort otherwise.
class Tensor {
 public:
  // Rank 1, no elements.
  Tensor() : spec_{.shape = {0}} {}

  // Standard normal values. The same seed gives the same bytes.
  static Tensor Random(TensorSpec spec, uint64_t seed);

  // Row-major `values`, rounded to the dtype. INVALID_ARGUMENT if their number is not the shape's product.
  static absl::StatusOr<Tensor> FromFloats(TensorSpec spec, absl::Span<const float> values);

  // Takes bytes that were allocated for exactly this spec: little-endian, contiguous, row-major.
  static Tensor FromBytes(TensorSpec spec, std::unique_ptr<std::byte[]> bytes);

  // Bytes that somebody else keeps alive: the reference is dropped when the last copy of this tensor is gone, and the
  // network has let go of the bytes, on any thread.
  static Tensor Share(TensorSpec spec, std::shared_ptr<const void> bytes);

  // Bytes of the caller's, which must stay valid and unchanged until the last copy of this tensor is gone. Good for
  // Client::Attend, which returns only when nobody reads them any more; Client::AttendAsync refuses such tensors.
  static Tensor Borrow(TensorSpec spec, const void* bytes);

  const TensorSpec& spec() const { return spec_; }
  DType dtype() const { return spec_.dtype; }
  const std::vector<int64_t>& shape() const { return spec_.shape; }
  Layout layout() const { return spec_.layout; }

  int64_t elements() const { return elements_; }
  size_t size_bytes() const { return static_cast<size_t>(elements_) * SizeOf(spec_.dtype); }
  const void* data() const { return bytes_; }
  // nullptr for a borrowed tensor.
  const std::shared_ptr<const void>& owner() const { return owner_; }

  // Row-major element `index`, below elements().
  float At(int64_t index) const;
  std::vector<float> ToFloats() const;

 private:
  Tensor(TensorSpec spec, const void* bytes, std::shared_ptr<const void> owner);

  TensorSpec spec_;
  int64_t elements_ = 0;
  const void* bytes_ = nullptr;
  std::shared_ptr<const void> owner_;
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_TENSOR_H_
