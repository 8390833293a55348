// Tests of attention backends against the reference: problems from a spec, guarded outputs, and the comparison.
//
// A Runner hides where a backend computes, so that one grid of problems serves every backend:
//
//   for (const std::vector<ProblemSpec>& batch : grid) ExpectCorrect(runner, batch);
//
// Not thread-safe; host memory only.
#ifndef FLASHCORE_TESTS_KERNELS_HARNESS_H_
#define FLASHCORE_TESTS_KERNELS_HARNESS_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/attention.h"

namespace flashcore::testing {

enum class Layout { kBhsd, kBshd };

// What to build. Tensors hold normally distributed values of standard deviation *_scale.
struct ProblemSpec {
  DType dtype = DType::kFloat32;
  int64_t batch = 1;
  int64_t num_qo_heads = 1;
  int64_t num_kv_heads = 0;  // 0: num_qo_heads.
  int64_t q_len = 0;
  int64_t kv_len = -1;  // -1: q_len.
  int64_t head_dim = 64;
  AttentionOptions options = {};  // sm_scale 0: DefaultScale(head_dim).
  Layout layout = Layout::kBhsd;
  int64_t row_gap = 0;   // Unused elements after each row of every tensor.
  int64_t head_gap = 0;  // Unused elements after each head of every tensor.
  bool return_lse = true;
  float q_scale = 1.0f;
  float k_scale = 1.0f;
  float v_scale = 1.0f;
  uint64_t seed = 42;
};

// The spec on one line, with its seed: what a failing test prints.
std::string ToString(const ProblemSpec& spec);
// For GoogleTest.
void PrintTo(const ProblemSpec& spec, std::ostream* out);

// Bytes with canaries on both sides. `data` starts on a cache line. Copy `storage` as a whole to a device and back to
// guard the device's memory as well.
class GuardedBuffer {
 public:
  // Filled with 0xff: NaN in every dtype.
  explicit GuardedBuffer(size_t bytes);

  void* data() { return storage_.get() + kGuardBytes; }
  const void* data() const { return storage_.get() + kGuardBytes; }
  size_t bytes() const { return bytes_; }

  // Guard, data, guard.
  void* storage() { return storage_.get(); }
  const void* storage() const { return storage_.get(); }
  size_t storage_bytes() const { return bytes_ + 2 * kGuardBytes; }
  // From the start of storage() to data().
  static constexpr size_t offset_bytes() { return kGuardBytes; }

  bool CanariesIntact() const;
  // Fills the data with 0xff again.
  void Poison();

 private:
  struct Free {
    void operator()(std::byte* memory) const;
  };
  static constexpr size_t kGuardBytes = 4096;

  size_t bytes_;
  std::unique_ptr<std::byte[], Free> storage_;
};

// A problem with its tensors. Gaps between the rows of O are poisoned too, and must stay so.
class HostProblem {
 public:
  explicit HostProblem(const ProblemSpec& spec);

  const ProblemSpec& spec() const { return spec_; }

  // With host pointers into the buffers below. A device runner replaces the five pointers.
  AttentionProblem Describe();

  GuardedBuffer& q() { return q_; }
  GuardedBuffer& k() { return k_; }
  GuardedBuffer& v() { return v_; }
  GuardedBuffer& o() { return o_; }
  GuardedBuffer& lse() { return lse_; }  // Empty unless spec().return_lse.

  // Elements of Q [B, Hq, Sq, D], K and V [B, Hkv, Skv, D], whatever the strides.
  float Query(int64_t batch, int64_t head, int64_t row, int64_t d) const;
  void SetQuery(int64_t batch, int64_t head, int64_t row, int64_t d, float value);
  void SetKey(int64_t batch, int64_t head, int64_t row, int64_t d, float value);
  void SetValue(int64_t batch, int64_t head, int64_t row, int64_t d, float value);
  float Output(int64_t batch, int64_t head, int64_t row, int64_t d) const;
  float Lse(int64_t batch, int64_t head, int64_t row) const;

  // Canaries around every tensor, and the poison in O's gaps.
  bool GuardsIntact() const;
  // Poisons O and LSE again, for another run.
  void PoisonOutputs();
  // The bytes of O and of LSE, for bitwise comparison.
  std::vector<std::byte> OutputBits() const;

 private:
  ProblemSpec spec_;
  AttentionProblem shape_;  // Without pointers.
  GuardedBuffer q_;
  GuardedBuffer k_;
  GuardedBuffer v_;
  GuardedBuffer o_;
  GuardedBuffer lse_;
};

// Computes all problems as one batch; O and LSE are in host memory when it returns.
using Runner = std::function<absl::Status(absl::Span<HostProblem* const>)>;

// A runner for a backend that computes in host memory. Borrows `backend`.
Runner HostRunner(AttentionBackend& backend);

// What a problem's results should be, and how far from it they may be: by FlashAttention-2's rule,
//   max |o - reference| <= 2 * max |plain - reference| + 1e-5
// where `plain` materialises S and P in the problem's own dtype. LSE: the same with S in float.
struct Expected {
  std::vector<float> o;    // [B, Hq, Sq, D] contiguous.
  std::vector<float> lse;  // [B, Hq, Sq].
  double o_tolerance = 0.0;
  double lse_tolerance = 0.0;
};
Expected ComputeExpected(HostProblem& host);

// Compares; where the expectation is not finite, the result must not be either. Checks guards as well.
::testing::AssertionResult Matches(const HostProblem& host, const Expected& expected);

// Builds the specs, runs them as one batch and expects every result to be right.
void ExpectCorrect(const Runner& runner, absl::Span<const ProblemSpec> specs);

}  // namespace flashcore::testing

#endif  // FLASHCORE_TESTS_KERNELS_HARNESS_H_
