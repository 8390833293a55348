#include "tests/kernels/harness.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "kernels/backends.h"
#include "kernels/base/float16.h"

namespace flashcore::testing {
namespace {

constexpr std::byte kPoison{0xff};
constexpr std::byte kCanary{0xa5};
constexpr size_t kCacheLineBytes = 64;

// SplitMix64: the same sequence on every platform, and fast enough for tensors of millions of elements.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  // Close to normal with mean 0 and deviation 1: the sum of four uniforms.
  float Normal() {
    const uint64_t bits = Next();
    constexpr uint64_t kLaneMask = 0xffff;
    constexpr int kLaneBits = 16;
    constexpr float kMean = 2.0f * 65535.0f;
    constexpr float kDeviation = 37837.2f;
    float sum = 0.0f;
    for (int lane = 0; lane < 4; ++lane) sum += static_cast<float>((bits >> (lane * kLaneBits)) & kLaneMask);
    return (sum - kMean) / kDeviation;
  }

 private:
  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  uint64_t state_;
};

Strides MakeStrides(const ProblemSpec& spec, int64_t heads, int64_t rows) {
  const int64_t row_elements = spec.head_dim + spec.row_gap;
  Strides strides;
  if (spec.layout == Layout::kBhsd) {
    strides.row = row_elements;
    strides.head = rows * row_elements + spec.head_gap;
    strides.batch = heads * strides.head;
  } else {
    strides.head = row_elements;
    strides.row = heads * row_elements + spec.head_gap;
    strides.batch = rows * strides.row;
  }
  return strides;
}

AttentionProblem MakeShape(const ProblemSpec& spec) {
  AttentionProblem shape;
  shape.dtype = spec.dtype;
  shape.batch = spec.batch;
  shape.num_qo_heads = spec.num_qo_heads;
  shape.num_kv_heads = spec.num_kv_heads == 0 ? spec.num_qo_heads : spec.num_kv_heads;
  shape.q_len = spec.q_len;
  shape.kv_len = spec.kv_len < 0 ? spec.q_len : spec.kv_len;
  shape.head_dim = spec.head_dim;
  shape.options = spec.options;
  if (shape.options.sm_scale == 0.0f) shape.options.sm_scale = DefaultScale(spec.head_dim);
  shape.q_strides = MakeStrides(spec, shape.num_qo_heads, shape.q_len);
  shape.o_strides = shape.q_strides;
  shape.k_strides = MakeStrides(spec, shape.num_kv_heads, shape.kv_len);
  shape.v_strides = shape.k_strides;
  return shape;
}

size_t TensorBytes(const AttentionProblem& shape, const Strides& strides) {
  return static_cast<size_t>(shape.batch * strides.batch) * SizeOf(shape.dtype);
}

int64_t Offset(const Strides& strides, int64_t batch, int64_t head, int64_t row) {
  return batch * strides.batch + head * strides.head + row * strides.row;
}

void FillNormal(const AttentionProblem& shape, const Strides& strides, int64_t heads, int64_t rows, float scale,
                uint64_t seed, GuardedBuffer& buffer) {
  Random random(seed);
  for (int64_t batch = 0; batch < shape.batch; ++batch) {
    for (int64_t head = 0; head < heads; ++head) {
      for (int64_t row = 0; row < rows; ++row) {
        const int64_t offset = Offset(strides, batch, head, row);
        for (int64_t d = 0; d < shape.head_dim; ++d) {
          StoreElement(shape.dtype, buffer.data(), offset + d, scale * random.Normal());
        }
      }
    }
  }
}

// [rows, D] contiguous floats of one head.
std::vector<float> LoadHead(const AttentionProblem& shape, const void* data, const Strides& strides, int64_t batch,
                            int64_t head, int64_t rows) {
  std::vector<float> values(static_cast<size_t>(rows * shape.head_dim));
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t offset = Offset(strides, batch, head, row);
    for (int64_t d = 0; d < shape.head_dim; ++d) {
      values[static_cast<size_t>(row * shape.head_dim + d)] = LoadElement(shape.dtype, data, offset + d);
    }
  }
  return values;
}

std::vector<float> LoadContiguous(const AttentionProblem& shape, const void* data, const Strides& strides,
                                  int64_t heads, int64_t rows) {
  std::vector<float> values;
  values.reserve(static_cast<size_t>(shape.batch * heads * rows * shape.head_dim));
  for (int64_t batch = 0; batch < shape.batch; ++batch) {
    for (int64_t head = 0; head < heads; ++head) {
      const std::vector<float> one = LoadHead(shape, data, strides, batch, head, rows);
      values.insert(values.end(), one.begin(), one.end());
    }
  }
  return values;
}

// The reference's own rounding must not count, so it computes on the same values widened to float.
void ComputeReference(const AttentionProblem& problem, Expected& expected) {
  const std::vector<float> q =
      LoadContiguous(problem, problem.q, problem.q_strides, problem.num_qo_heads, problem.q_len);
  const std::vector<float> k =
      LoadContiguous(problem, problem.k, problem.k_strides, problem.num_kv_heads, problem.kv_len);
  const std::vector<float> v =
      LoadContiguous(problem, problem.v, problem.v_strides, problem.num_kv_heads, problem.kv_len);
  expected.o.assign(q.size(), std::numeric_limits<float>::quiet_NaN());
  expected.lse.assign(static_cast<size_t>(LseElements(problem)), std::numeric_limits<float>::quiet_NaN());

  AttentionProblem wide = problem;
  wide.dtype = DType::kFloat32;
  wide.q_strides = wide.o_strides = StridesBhsd(wide.num_qo_heads, wide.q_len, wide.head_dim);
  wide.k_strides = wide.v_strides = StridesBhsd(wide.num_kv_heads, wide.kv_len, wide.head_dim);
  wide.q = q.data();
  wide.k = k.data();
  wide.v = v.data();
  wide.o = expected.o.data();
  wide.lse = expected.lse.data();
  const absl::Status status = CreateReferenceBackend()->Launch({&wide, 1}, nullptr);
  if (!status.ok()) std::abort();
}

// Rounds to `dtype`; what would overflow stays, since the plain computation then says nothing about rounding.
float RoundTo(DType dtype, float value) {
  uint32_t storage = 0;
  StoreElement(dtype, &storage, 0, value);
  const float rounded = LoadElement(dtype, &storage, 0);
  return std::isfinite(rounded) ? rounded : value;
}

float PlainLogit(const AttentionProblem& problem, DType round, const float* q, const float* k) {
  float logit = 0.0f;
  for (int64_t d = 0; d < problem.head_dim; ++d) logit += q[d] * k[d];
  logit = RoundTo(round, RoundTo(round, logit) * problem.options.sm_scale);
  const float cap = problem.options.logits_soft_cap;
  return cap > 0.0f ? RoundTo(round, cap * std::tanh(logit / cap)) : logit;
}

struct PlainRow {
  std::vector<float> o;
  float lse = -std::numeric_limits<float>::infinity();
};

// One row with S and P materialised in `round`.
PlainRow AttendPlainly(const AttentionProblem& problem, DType round, const float* q, const float* k, const float* v,
                       KeyRange visible) {
  const int64_t head_dim = problem.head_dim;
  PlainRow row{.o = std::vector<float>(static_cast<size_t>(head_dim), 0.0f)};
  if (visible.begin == visible.end) return row;
  std::vector<float> weights;
  for (int64_t key = visible.begin; key < visible.end; ++key) {
    weights.push_back(PlainLogit(problem, round, q, k + key * head_dim));
  }
  const float max_logit = *std::max_element(weights.begin(), weights.end());
  float sum = 0.0f;
  for (float& weight : weights) sum += (weight = std::exp(weight - max_logit));
  for (int64_t key = visible.begin; key < visible.end; ++key) {
    const float weight = RoundTo(round, weights[static_cast<size_t>(key - visible.begin)] / sum);
    for (int64_t d = 0; d < head_dim; ++d) row.o[static_cast<size_t>(d)] += weight * v[key * head_dim + d];
  }
  for (float& value : row.o) value = RoundTo(round, value);
  row.lse = max_logit + std::log(sum);
  return row;
}

// Grows `error` to the distance between a and b where both are finite.
void Accumulate(float a, float b, double& error) {
  const double distance = std::abs(static_cast<double>(a) - static_cast<double>(b));
  if (std::isfinite(distance)) error = std::max(error, distance);
}

// Enough rows for the maximum to be representative: some from everywhere, and those at the ends, which a causal mask
// treats most differently. The plain computation is the slowest part of a test.
std::vector<int64_t> SampleRows(int64_t count) {
  constexpr int64_t kSpread = 64;
  constexpr int64_t kAtEnds = 8;
  const int64_t step = std::max<int64_t>(1, count / kSpread);
  std::vector<int64_t> rows;
  for (int64_t row = 0; row < count; ++row) {
    if (row < kAtEnds || row >= count - kAtEnds || row % step == 0) rows.push_back(row);
  }
  return rows;
}

void AccumulatePlainErrors(const AttentionProblem& problem, int64_t batch, int64_t head, const Expected& expected,
                           double& o_error, double& lse_error) {
  const int64_t kv_head = head / (problem.num_qo_heads / problem.num_kv_heads);
  const std::vector<float> q = LoadHead(problem, problem.q, problem.q_strides, batch, head, problem.q_len);
  const std::vector<float> k = LoadHead(problem, problem.k, problem.k_strides, batch, kv_head, problem.kv_len);
  const std::vector<float> v = LoadHead(problem, problem.v, problem.v_strides, batch, kv_head, problem.kv_len);
  for (const int64_t row : SampleRows(problem.q_len)) {
    const KeyRange visible = VisibleKeys(problem, row);
    const float* q_row = q.data() + row * problem.head_dim;
    const int64_t index = (batch * problem.num_qo_heads + head) * problem.q_len + row;
    const PlainRow low = AttendPlainly(problem, problem.dtype, q_row, k.data(), v.data(), visible);
    for (int64_t d = 0; d < problem.head_dim; ++d) {
      Accumulate(low.o[static_cast<size_t>(d)], expected.o[static_cast<size_t>(index * problem.head_dim + d)], o_error);
    }
    const PlainRow wide = AttendPlainly(problem, DType::kFloat32, q_row, k.data(), v.data(), visible);
    Accumulate(wide.lse, expected.lse[static_cast<size_t>(index)], lse_error);
  }
}

// Empty if `got` is close enough to `want`, else what is wrong.
std::string Mismatch(float got, float want, double tolerance) {
  if (!std::isfinite(want) && !std::isfinite(got)) return "";
  const double error = std::abs(static_cast<double>(got) - static_cast<double>(want));
  if (std::isfinite(want) && std::isfinite(got) && error <= tolerance) return "";
  return absl::StrCat("got ", got, ", want ", want, ", error ", error, ", tolerance ", tolerance);
}

}  // namespace

std::string ToString(const ProblemSpec& spec) {
  const AttentionProblem shape = MakeShape(spec);
  const AttentionOptions& options = shape.options;
  return absl::StrCat(absl::string_view(Name(spec.dtype)), " B", shape.batch, " Hq", shape.num_qo_heads, " Hkv",
                      shape.num_kv_heads, " Sq", shape.q_len, " Skv", shape.kv_len, " D", shape.head_dim,
                      options.causal ? " causal" : "", " scale ", options.sm_scale, " cap ", options.logits_soft_cap,
                      " window ", options.window_left, ",", options.window_right,
                      spec.layout == Layout::kBhsd ? " BHSD" : " BSHD", " gaps ", spec.row_gap, ",", spec.head_gap,
                      " qkv scales ", spec.q_scale, ",", spec.k_scale, ",", spec.v_scale, " seed ", spec.seed);
}

void PrintTo(const ProblemSpec& spec, std::ostream* out) { *out << ToString(spec); }

void GuardedBuffer::Free::operator()(std::byte* memory) const { std::free(memory); }

GuardedBuffer::GuardedBuffer(size_t bytes) : bytes_(bytes) {
  const size_t rounded = (storage_bytes() + kCacheLineBytes - 1) / kCacheLineBytes * kCacheLineBytes;
  storage_.reset(static_cast<std::byte*>(std::aligned_alloc(kCacheLineBytes, rounded)));
  std::fill_n(storage_.get(), storage_bytes(), kCanary);
  Poison();
}

bool GuardedBuffer::CanariesIntact() const {
  const auto is_canary = [](std::byte byte) { return byte == kCanary; };
  const std::byte* begin = storage_.get();
  const std::byte* end = begin + storage_bytes();
  return std::all_of(begin, begin + kGuardBytes, is_canary) && std::all_of(end - kGuardBytes, end, is_canary);
}

void GuardedBuffer::Poison() { std::fill_n(storage_.get() + kGuardBytes, bytes_, kPoison); }

HostProblem::HostProblem(const ProblemSpec& spec)
    : spec_(spec),
      shape_(MakeShape(spec)),
      q_(TensorBytes(shape_, shape_.q_strides)),
      k_(TensorBytes(shape_, shape_.k_strides)),
      v_(TensorBytes(shape_, shape_.v_strides)),
      o_(TensorBytes(shape_, shape_.o_strides)),
      lse_(spec.return_lse ? static_cast<size_t>(LseElements(shape_)) * sizeof(float) : 0) {
  constexpr uint64_t kTensors = 3;
  FillNormal(shape_, shape_.q_strides, shape_.num_qo_heads, shape_.q_len, spec.q_scale, spec.seed * kTensors, q_);
  FillNormal(shape_, shape_.k_strides, shape_.num_kv_heads, shape_.kv_len, spec.k_scale, spec.seed * kTensors + 1, k_);
  FillNormal(shape_, shape_.v_strides, shape_.num_kv_heads, shape_.kv_len, spec.v_scale, spec.seed * kTensors + 2, v_);
}

AttentionProblem HostProblem::Describe() {
  AttentionProblem problem = shape_;
  problem.q = q_.data();
  problem.k = k_.data();
  problem.v = v_.data();
  problem.o = o_.data();
  problem.lse = spec_.return_lse ? static_cast<float*>(lse_.data()) : nullptr;
  return problem;
}

float HostProblem::Query(int64_t batch, int64_t head, int64_t row, int64_t d) const {
  return LoadElement(spec_.dtype, q_.data(), Offset(shape_.q_strides, batch, head, row) + d);
}

void HostProblem::SetQuery(int64_t batch, int64_t head, int64_t row, int64_t d, float value) {
  StoreElement(spec_.dtype, q_.data(), Offset(shape_.q_strides, batch, head, row) + d, value);
}

void HostProblem::SetKey(int64_t batch, int64_t head, int64_t row, int64_t d, float value) {
  StoreElement(spec_.dtype, k_.data(), Offset(shape_.k_strides, batch, head, row) + d, value);
}

void HostProblem::SetValue(int64_t batch, int64_t head, int64_t row, int64_t d, float value) {
  StoreElement(spec_.dtype, v_.data(), Offset(shape_.v_strides, batch, head, row) + d, value);
}

float HostProblem::Output(int64_t batch, int64_t head, int64_t row, int64_t d) const {
  return LoadElement(spec_.dtype, o_.data(), Offset(shape_.o_strides, batch, head, row) + d);
}

float HostProblem::Lse(int64_t batch, int64_t head, int64_t row) const {
  const int64_t index = (batch * shape_.num_qo_heads + head) * shape_.q_len + row;
  return static_cast<const float*>(lse_.data())[index];
}

bool HostProblem::GuardsIntact() const {
  for (const GuardedBuffer* buffer : {&q_, &k_, &v_, &o_, &lse_}) {
    if (!buffer->CanariesIntact()) return false;
  }
  const size_t element_bytes = SizeOf(spec_.dtype);
  const auto* bytes = static_cast<const std::byte*>(o_.data());
  std::vector<bool> written(o_.bytes() / element_bytes, false);
  for (int64_t batch = 0; batch < shape_.batch; ++batch) {
    for (int64_t head = 0; head < shape_.num_qo_heads; ++head) {
      for (int64_t row = 0; row < shape_.q_len; ++row) {
        const auto first = written.begin() + Offset(shape_.o_strides, batch, head, row);
        std::fill(first, first + shape_.head_dim, true);
      }
    }
  }
  for (size_t i = 0; i < o_.bytes(); ++i) {
    if (!written[i / element_bytes] && bytes[i] != kPoison) return false;
  }
  return true;
}

void HostProblem::PoisonOutputs() {
  o_.Poison();
  lse_.Poison();
}

std::vector<std::byte> HostProblem::OutputBits() const {
  const auto* o = static_cast<const std::byte*>(o_.data());
  const auto* lse = static_cast<const std::byte*>(lse_.data());
  std::vector<std::byte> bits(o, o + o_.bytes());
  bits.insert(bits.end(), lse, lse + lse_.bytes());
  return bits;
}

Runner HostRunner(AttentionBackend& backend) {
  return [&backend](absl::Span<HostProblem* const> problems) {
    std::vector<AttentionProblem> batch;
    batch.reserve(problems.size());
    for (HostProblem* problem : problems) batch.push_back(problem->Describe());
    return backend.Launch(batch, nullptr);
  };
}

Expected ComputeExpected(HostProblem& host) {
  const AttentionProblem problem = host.Describe();
  Expected expected;
  ComputeReference(problem, expected);
  double o_error = 0.0;
  double lse_error = 0.0;
  for (int64_t batch = 0; batch < problem.batch; ++batch) {
    for (int64_t head = 0; head < problem.num_qo_heads; ++head) {
      AccumulatePlainErrors(problem, batch, head, expected, o_error, lse_error);
    }
  }
  constexpr double kFactor = 2.0;
  constexpr double kFloor = 1e-5;
  expected.o_tolerance = kFactor * o_error + kFloor;
  expected.lse_tolerance = kFactor * lse_error + kFloor;
  return expected;
}

::testing::AssertionResult Matches(const HostProblem& host, const Expected& expected) {
  if (!host.GuardsIntact()) return ::testing::AssertionFailure() << "wrote outside O or LSE: " << ToString(host.spec());
  const AttentionProblem shape = MakeShape(host.spec());
  size_t index = 0;
  for (int64_t batch = 0; batch < shape.batch; ++batch) {
    for (int64_t head = 0; head < shape.num_qo_heads; ++head) {
      for (int64_t row = 0; row < shape.q_len; ++row, ++index) {
        std::string what;
        for (int64_t d = 0; d < shape.head_dim && what.empty(); ++d) {
          const float want = expected.o[index * static_cast<size_t>(shape.head_dim) + static_cast<size_t>(d)];
          what = Mismatch(host.Output(batch, head, row, d), want, expected.o_tolerance);
          if (!what.empty()) absl::StrAppend(&what, " in O, d ", d);
        }
        if (what.empty() && host.spec().return_lse) {
          what = Mismatch(host.Lse(batch, head, row), expected.lse[index], expected.lse_tolerance);
          if (!what.empty()) absl::StrAppend(&what, " in LSE");
          const KeyRange visible = VisibleKeys(shape, row);
          const float lse = host.Lse(batch, head, row);
          if (visible.begin == visible.end && lse != -std::numeric_limits<float>::infinity()) {
            what = absl::StrCat("LSE of a row without keys is ", lse);
          }
        }
        if (!what.empty()) {
          return ::testing::AssertionFailure() << what << ", batch " << batch << ", head " << head << ", row " << row
                                               << " of " << ToString(host.spec());
        }
      }
    }
  }
  return ::testing::AssertionSuccess();
}

void ExpectCorrect(const Runner& runner, absl::Span<const ProblemSpec> specs) {
  std::vector<std::unique_ptr<HostProblem>> problems;
  std::vector<HostProblem*> batch;
  for (const ProblemSpec& spec : specs) {
    problems.push_back(std::make_unique<HostProblem>(spec));
    batch.push_back(problems.back().get());
  }
  const absl::Status status = runner(batch);
  ASSERT_TRUE(status.ok()) << status;
  for (HostProblem* problem : batch) {
    EXPECT_TRUE(Matches(*problem, ComputeExpected(*problem)));
  }
}

}  // namespace flashcore::testing
