#include "server/self_test.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/attention.h"
#include "kernels/backends.h"
#include "kernels/base/float16.h"

namespace flashcore {
namespace {

constexpr uint32_t kSeed = 42;

// Grouped heads, a causal mask that is not square, lengths that no tile divides.
AttentionProblem KnownProblem(DType dtype) {
  AttentionProblem problem;
  problem.dtype = dtype;
  problem.batch = 1;
  problem.num_qo_heads = 4;
  problem.num_kv_heads = 2;
  problem.q_len = 37;
  problem.kv_len = 75;
  problem.head_dim = 64;
  problem.options.causal = true;
  problem.options.sm_scale = DefaultScale(problem.head_dim);
  problem.q_strides = StridesBhsd(problem.num_qo_heads, problem.q_len, problem.head_dim);
  problem.k_strides = StridesBhsd(problem.num_kv_heads, problem.kv_len, problem.head_dim);
  problem.v_strides = problem.k_strides;
  problem.o_strides = problem.q_strides;
  return problem;
}

// Of O, whose values are averages of values within [-1, 1]: the dtype's rounding, with room for P's.
double Tolerance(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return 4e-3;
    case DType::kBFloat16:
      return 3e-2;
    case DType::kFloat32:
      return 1e-4;
  }
  return 0;
}

// Of LSE, float in every dtype, from exact inputs.
constexpr double kLseTolerance = 1e-3;

// The tensors of one problem, each in a block of the arena.
struct Tensors {
  HostBlock q;
  HostBlock k;
  HostBlock v;
  HostBlock o;
  HostBlock lse;

  static absl::StatusOr<Tensors> Allocate(HostArena& arena, const AttentionProblem& problem);
  void PointFrom(AttentionProblem& problem) const;
};

absl::StatusOr<Tensors> Tensors::Allocate(HostArena& arena, const AttentionProblem& problem) {
  const size_t element_bytes = SizeOf(problem.dtype);
  const size_t query_bytes = static_cast<size_t>(QueryElements(problem)) * element_bytes;
  const size_t key_bytes = static_cast<size_t>(KeyValueElements(problem)) * element_bytes;
  const size_t lse_bytes = static_cast<size_t>(LseElements(problem)) * sizeof(float);
  Tensors tensors;
  struct {
    HostBlock& block;
    size_t size_bytes;
  } const wanted[] = {{tensors.q, query_bytes},
                      {tensors.k, key_bytes},
                      {tensors.v, key_bytes},
                      {tensors.o, query_bytes},
                      {tensors.lse, lse_bytes}};
  for (const auto& [block, size_bytes] : wanted) {
    absl::StatusOr<HostBlock> allocated = arena.Allocate(size_bytes);
    if (!allocated.ok()) return allocated.status();
    block = *std::move(allocated);
  }
  return tensors;
}

void Tensors::PointFrom(AttentionProblem& problem) const {
  problem.q = q.data();
  problem.k = k.data();
  problem.v = v.data();
  problem.o = o.data();
  problem.lse = reinterpret_cast<float*>(lse.data());
}

void FillRandom(DType dtype, const HostBlock& block, std::mt19937& random) {
  std::uniform_real_distribution<float> value(-1.0f, 1.0f);
  const auto elements = static_cast<int64_t>(block.size_bytes() / SizeOf(dtype));
  for (int64_t i = 0; i < elements; ++i) StoreElement(dtype, block.data(), i, value(random));
}

double MaxError(DType dtype, const void* got, const void* want, int64_t elements) {
  double max_error = 0;
  for (int64_t i = 0; i < elements; ++i) {
    const double error = std::abs(double{LoadElement(dtype, got, i)} - double{LoadElement(dtype, want, i)});
    if (std::isnan(error)) return std::numeric_limits<double>::infinity();
    max_error = std::max(max_error, error);
  }
  return max_error;
}

absl::Status Compare(const AttentionProblem& got) {
  std::vector<std::byte> o(static_cast<size_t>(QueryElements(got)) * SizeOf(got.dtype));
  std::vector<float> lse(static_cast<size_t>(LseElements(got)));
  AttentionProblem want = got;
  want.o = o.data();
  want.lse = lse.data();
  absl::Status status = CreateReferenceBackend()->Launch({&want, 1}, nullptr);
  if (!status.ok()) return status;
  const double o_error = MaxError(got.dtype, got.o, want.o, QueryElements(got));
  const double lse_error = MaxError(DType::kFloat32, got.lse, want.lse, LseElements(got));
  if (o_error <= Tolerance(got.dtype) && lse_error <= kLseTolerance) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("the self-test in ", Name(got.dtype), " is off by ", o_error, " in O, where ",
                                          Tolerance(got.dtype), " is allowed, and by ", lse_error, " in LSE, where ",
                                          kLseTolerance, " is"));
}

absl::Status TestDType(Engine& engine, Lane& lane, DType dtype) {
  AttentionProblem problem = KnownProblem(dtype);
  const absl::StatusOr<Tensors> tensors = Tensors::Allocate(*engine.arena(), problem);
  if (!tensors.ok()) return tensors.status();
  tensors->PointFrom(problem);
  std::mt19937 random(kSeed);
  for (const HostBlock* block : {&tensors->q, &tensors->k, &tensors->v}) FillRandom(dtype, *block, random);
  // All ones is NaN in every dtype: an output that is never written does not pass for one that happens to be right.
  for (const HostBlock* block : {&tensors->o, &tensors->lse}) std::memset(block->data(), 0xff, block->size_bytes());
  StageTimes times;
  absl::Status status = lane.Run({&problem, 1}, times);
  return status.ok() ? Compare(problem) : status;
}

}  // namespace

absl::Status SelfTest(Engine& engine) {
  absl::StatusOr<std::unique_ptr<Lane>> lane = engine.CreateLane();
  if (!lane.ok()) return lane.status();
  for (const DType dtype : engine.backend().info().dtypes) {
    absl::Status status = TestDType(engine, **lane, dtype);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace flashcore
