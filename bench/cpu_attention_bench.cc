// The cpu backend by Google Benchmark: time and GFLOP/s by shape, dtype and threads. Answers are checked by the tests
// and by compare_torch_cpu.py; this one is for comparing a change with its parent on one machine.
//
//   build/bin/cpu_attention_bench --benchmark_repetitions=5 --benchmark_filter=mission
#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/attention.h"
#include "kernels/backends.h"
#include "kernels/base/float16.h"

namespace flashcore {
namespace {

struct Shape {
  const char* name;
  int64_t batch;
  int64_t num_qo_heads;
  int64_t num_kv_heads;
  int64_t q_len;
  int64_t kv_len;
  int64_t head_dim;
  bool causal;
};

constexpr Shape kShapes[] = {
    {"mission", 1, 8, 8, 512, 512, 64, false},       {"mission_causal", 1, 8, 8, 512, 512, 64, true},
    {"head_dim_32", 1, 8, 8, 512, 512, 32, false},   {"head_dim_128", 1, 8, 8, 512, 512, 128, false},
    {"head_dim_256", 1, 4, 4, 512, 512, 256, false}, {"long", 1, 2, 2, 2048, 2048, 64, false},
    {"decode", 1, 8, 8, 1, 4096, 64, false},         {"decode_gqa", 1, 32, 4, 1, 4096, 128, false},
};

// Normally distributed elements.
std::vector<float> RandomTensor(DType dtype, int64_t elements, uint32_t seed) {
  std::vector<float> storage(static_cast<size_t>(elements));
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < elements; ++i) StoreElement(dtype, storage.data(), i, normal(generator));
  return storage;
}

void BenchAttention(benchmark::State& state, const Shape& shape, DType dtype, int num_threads) {
  AttentionProblem problem;
  problem.dtype = dtype;
  problem.batch = shape.batch;
  problem.num_qo_heads = shape.num_qo_heads;
  problem.num_kv_heads = shape.num_kv_heads;
  problem.q_len = shape.q_len;
  problem.kv_len = shape.kv_len;
  problem.head_dim = shape.head_dim;
  problem.options.causal = shape.causal;
  problem.options.sm_scale = DefaultScale(shape.head_dim);
  problem.q_strides = problem.o_strides = StridesBhsd(shape.num_qo_heads, shape.q_len, shape.head_dim);
  problem.k_strides = problem.v_strides = StridesBhsd(shape.num_kv_heads, shape.kv_len, shape.head_dim);

  constexpr uint32_t kSeed = 42;
  const std::vector<float> q = RandomTensor(dtype, QueryElements(problem), kSeed);
  const std::vector<float> k = RandomTensor(dtype, KeyValueElements(problem), kSeed + 1);
  const std::vector<float> v = RandomTensor(dtype, KeyValueElements(problem), kSeed + 2);
  std::vector<float> o(q.size());
  problem.q = q.data();
  problem.k = k.data();
  problem.v = v.data();
  problem.o = o.data();

  const std::unique_ptr<AttentionBackend> backend = CreateCpuBackend(num_threads).value();
  state.SetLabel(absl::StrCat(backend->info().kernel, ", ", backend->info().num_threads, " threads"));
  while (state.KeepRunning()) {
    const absl::Status status = backend->Launch({&problem, 1}, nullptr);
    if (!status.ok()) state.SkipWithError(std::string(status.message()).c_str());
  }
  state.counters["flop/s"] = benchmark::Counter(AttentionFlops(problem), benchmark::Counter::kIsIterationInvariantRate);
}

void RegisterAll() {
  constexpr int kAllCpus = 0;
  for (const Shape& shape : kShapes) {
    for (const DType dtype : {DType::kFloat32, DType::kFloat16, DType::kBFloat16}) {
      for (const int num_threads : {1, kAllCpus}) {
        const std::string threads = num_threads == kAllCpus ? "all" : "1";
        benchmark::RegisterBenchmark(
            absl::StrCat(shape.name, "/", std::string(Name(dtype)), "/threads_", threads).c_str(),
            [shape, dtype, num_threads](benchmark::State& state) { BenchAttention(state, shape, dtype, num_threads); })
            ->UseRealTime()
            ->Unit(benchmark::kMicrosecond);
      }
    }
  }
}

}  // namespace
}  // namespace flashcore

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  flashcore::RegisterAll();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
