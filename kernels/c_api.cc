#include "kernels/c_api.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "kernels/attention.h"

// Named by the C header.
struct flashcore_attention {
  std::unique_ptr<flashcore::AttentionBackend> backend;
};

namespace flashcore {
namespace {

static_assert(FLASHCORE_FP16 == static_cast<int>(DType::kFloat16));
static_assert(FLASHCORE_BF16 == static_cast<int>(DType::kBFloat16));
static_assert(FLASHCORE_FP32 == static_cast<int>(DType::kFloat32));

// C has no other place for the message of a call that returns no object.
std::string& LastError() {
  thread_local std::string message;
  return message;
}

int Report(const absl::Status& status) {
  if (!status.ok()) LastError() = std::string(status.message());
  return status.raw_code();
}

Strides FromC(const flashcore_attention_strides& strides) {
  return {.batch = strides.batch, .head = strides.head, .row = strides.row};
}

AttentionProblem FromC(const flashcore_attention_problem& c) {
  AttentionProblem problem;
  problem.dtype = static_cast<DType>(c.dtype);
  problem.batch = c.batch;
  problem.num_qo_heads = c.num_qo_heads;
  problem.num_kv_heads = c.num_kv_heads;
  problem.q_len = c.q_len;
  problem.kv_len = c.kv_len;
  problem.head_dim = c.head_dim;
  problem.options.causal = c.causal != 0;
  problem.options.sm_scale = c.sm_scale;
  problem.options.logits_soft_cap = c.logits_soft_cap;
  problem.options.window_left = c.window_left;
  problem.options.window_right = c.window_right;
  problem.q = c.q;
  problem.k = c.k;
  problem.v = c.v;
  problem.o = c.o;
  problem.lse = c.lse;
  problem.q_strides = FromC(c.q_strides);
  problem.k_strides = FromC(c.k_strides);
  problem.v_strides = FromC(c.v_strides);
  problem.o_strides = FromC(c.o_strides);
  return problem;
}

absl::Status CheckPointers(const AttentionProblem& problem) {
  const bool needs_queries = QueryElements(problem) > 0;
  const bool needs_keys = needs_queries && KeyValueElements(problem) > 0;
  if (needs_queries && (problem.q == nullptr || problem.o == nullptr)) {
    return absl::InvalidArgumentError("q or o is NULL");
  }
  if (needs_keys && (problem.k == nullptr || problem.v == nullptr)) {
    return absl::InvalidArgumentError("k or v is NULL");
  }
  return absl::OkStatus();
}

absl::Status Check(const AttentionBackend& backend, const flashcore_attention_problem& c,
                   const AttentionProblem& problem) {
  if (c.dtype < FLASHCORE_FP16 || c.dtype > FLASHCORE_FP32) {
    return absl::InvalidArgumentError(
        absl::StrCat("dtype is ", c.dtype, "; it must be 0 (fp16), 1 (bf16) or 2 (fp32)"));
  }
  absl::Status status = ValidateProblem(problem);
  if (status.ok()) status = backend.CheckSupported(problem);
  return status.ok() ? CheckPointers(problem) : status;
}

absl::Status Run(AttentionBackend& backend, const flashcore_attention_problem* problems, size_t count, void* stream) {
  if (count > kMaxBatchProblems) {
    return absl::InvalidArgumentError(absl::StrCat("count is ", count, "; it must be at most ", kMaxBatchProblems));
  }
  std::vector<AttentionProblem> batch;
  batch.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    batch.push_back(FromC(problems[i]));
    const absl::Status status = Check(backend, problems[i], batch.back());
    if (!status.ok()) {
      return {status.code(), absl::StrCat("problem ", i, ": ", status.message())};
    }
  }
  return backend.Launch(batch, stream);
}

}  // namespace
}  // namespace flashcore

int flashcore_attention_create(const char* backend, const char* kernel, int num_threads, int device_ordinal,
                               flashcore_attention** created) {
  flashcore::BackendOptions options;
  options.backend = backend;
  options.kernel = kernel;
  options.num_threads = num_threads;
  options.device_ordinal = device_ordinal;
  absl::StatusOr<std::unique_ptr<flashcore::AttentionBackend>> made = flashcore::CreateBackend(options);
  if (!made.ok()) return flashcore::Report(made.status());
  *created = std::make_unique<flashcore_attention>(flashcore_attention{*std::move(made)}).release();
  return 0;
}

void flashcore_attention_destroy(flashcore_attention* attention) {
  const std::unique_ptr<flashcore_attention> owned(attention);
}

int flashcore_attention_run(flashcore_attention* attention, const flashcore_attention_problem* problems, size_t count,
                            void* stream) {
  return flashcore::Report(flashcore::Run(*attention->backend, problems, count, stream));
}

const char* flashcore_attention_backend(const flashcore_attention* attention) {
  return attention->backend->info().backend.c_str();
}

const char* flashcore_attention_device(const flashcore_attention* attention) {
  return attention->backend->info().device.c_str();
}

const char* flashcore_attention_kernel(const flashcore_attention* attention) {
  return attention->backend->info().kernel.c_str();
}

int flashcore_attention_num_threads(const flashcore_attention* attention) {
  return attention->backend->info().num_threads;
}

const char* flashcore_attention_last_error(void) { return flashcore::LastError().c_str(); }
