#include "server/engine/cuda_engine.h"

#include <cuda_runtime_api.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/cuda/runtime.h"
#include "server/engine/transfer_plan.h"

namespace flashcore {
namespace {

constexpr size_t kInputsPerProblem = 3;   // Q, K, V.
constexpr size_t kOutputsPerProblem = 2;  // O, LSE.

// What the tensors of the largest batch take, with each rounded up.
size_t DeviceArenaBytes(int64_t max_batch_bytes) {
  return static_cast<size_t>(max_batch_bytes) +
         (kMaxBatchProblems * (kInputsPerProblem + kOutputsPerProblem) + 1) * HostArena::kAlignment;
}

// Inputs are only read: the const_cast lets one plan serve both directions.
HostSpan InputSpan(const void* data, int64_t elements, DType dtype) {
  return {static_cast<std::byte*>(const_cast<void*>(data)), static_cast<size_t>(elements) * SizeOf(dtype)};
}

// Replaces `spans`.
void InputSpans(absl::Span<const AttentionProblem> batch, std::vector<HostSpan>& spans) {
  spans.clear();
  for (const AttentionProblem& problem : batch) {
    spans.push_back(InputSpan(problem.q, QueryElements(problem), problem.dtype));
    spans.push_back(InputSpan(problem.k, KeyValueElements(problem), problem.dtype));
    spans.push_back(InputSpan(problem.v, KeyValueElements(problem), problem.dtype));
  }
}

// Replaces `spans`.
void OutputSpans(absl::Span<const AttentionProblem> batch, std::vector<HostSpan>& spans) {
  spans.clear();
  for (const AttentionProblem& problem : batch) {
    const auto lse_elements = static_cast<size_t>(problem.lse == nullptr ? 0 : LseElements(problem));
    spans.push_back(
        {static_cast<std::byte*>(problem.o), static_cast<size_t>(QueryElements(problem)) * SizeOf(problem.dtype)});
    spans.push_back({reinterpret_cast<std::byte*>(problem.lse), lse_elements * sizeof(float)});
  }
}

size_t TotalBytes(const std::vector<HostSpan>& spans) {
  return std::accumulate(spans.begin(), spans.end(), size_t{0},
                         [](size_t sum, const HostSpan& span) { return sum + span.size_bytes; });
}

// What is copied over the bus for a batch, and the batch as the device sees it. Kept from batch to batch, so that a
// busy lane takes nothing from the heap.
struct BatchPlan {
  TransferPlan inputs;
  TransferPlan outputs;
  bool inputs_in_place = false;  // Not copied, nor are they in the device arena.
  bool outputs_in_place = false;
  std::vector<AttentionProblem> on_device;
  std::vector<HostSpan> spans;  // Scratch.

  void Prepare(absl::Span<const AttentionProblem> batch, std::byte* device_arena);

 private:
  // The batch with its pointers moved to where the plans put the tensors that are copied.
  void MoveToDevice(absl::Span<const AttentionProblem> batch, std::byte* device_arena);
};

void BatchPlan::Prepare(absl::Span<const AttentionProblem> batch, std::byte* device_arena) {
  InputSpans(batch, spans);
  inputs_in_place = TotalBytes(spans) <= kInPlaceInputBytes;
  if (inputs_in_place) spans.clear();
  PlanTransfers(spans, /*begin_bytes=*/0, inputs);
  OutputSpans(batch, spans);
  outputs_in_place = TotalBytes(spans) <= kInPlaceOutputBytes;
  if (outputs_in_place) spans.clear();
  PlanTransfers(spans, inputs.end_bytes, outputs);
  MoveToDevice(batch, device_arena);
}

void BatchPlan::MoveToDevice(absl::Span<const AttentionProblem> batch, std::byte* device_arena) {
  on_device.assign(batch.begin(), batch.end());
  for (size_t i = 0; i < on_device.size(); ++i) {
    AttentionProblem& moved = on_device[i];
    if (!inputs_in_place) {
      const size_t* in = &inputs.device_offsets_bytes[i * kInputsPerProblem];
      moved.q = device_arena + in[0];
      moved.k = device_arena + in[1];
      moved.v = device_arena + in[2];
    }
    if (outputs_in_place) continue;
    const size_t* out = &outputs.device_offsets_bytes[i * kOutputsPerProblem];
    moved.o = device_arena + out[0];
    if (moved.lse != nullptr) moved.lse = reinterpret_cast<float*>(device_arena + out[1]);
  }
}

// How one lane of an engine may poll.
struct Polling {
  const int64_t longest_ns;
  std::atomic<bool> taken = false;  // By a lane.
};

// The moments of a batch on its stream. Of a batch with nothing to upload, or to download, that one is left out.
enum Moment : uint8_t { kStarted, kUploaded, kComputed, kDownloaded };
constexpr size_t kNumMoments = 4;

struct LaneResources {
  cuda::DeviceMemory arena;
  size_t arena_bytes = 0;
  cuda::Stream stream;
  std::array<cuda::Event, kNumMoments> events;
};

absl::StatusOr<LaneResources> CreateLaneResources(int device_ordinal, size_t arena_bytes) {
  absl::Status status = cuda::ToStatus(cudaSetDevice(device_ordinal), "selecting the device");
  if (!status.ok()) return status;
  LaneResources resources;
  absl::StatusOr<cuda::DeviceMemory> arena = cuda::AllocateDevice(arena_bytes);
  if (!arena.ok()) return arena.status();
  resources.arena = *std::move(arena);
  resources.arena_bytes = arena_bytes;
  absl::StatusOr<cuda::Stream> stream = cuda::CreateStream();
  if (!stream.ok()) return stream.status();
  resources.stream = *std::move(stream);
  for (cuda::Event& event : resources.events) {
    absl::StatusOr<cuda::Event> created = cuda::CreateEvent(cudaEventBlockingSync);
    if (!created.ok()) return created.status();
    event = *std::move(created);
  }
  return resources;
}

class CudaLane final : public Lane {
 public:
  CudaLane(AttentionBackend& backend, int device_ordinal, LaneResources resources, Polling& polling)
      : backend_(backend), device_ordinal_(device_ordinal), resources_(std::move(resources)), polling_(polling) {}

  absl::Status Run(absl::Span<const AttentionProblem> batch, StageTimes& times) override {
    if (!fault_.ok()) return fault_;
    absl::Status status = RunOnDevice(batch, times);
    if (status.ok()) return status;
    // Whatever is still under way must not write into host memory that the caller takes back.
    cudaStreamSynchronize(resources_.stream.get());
    fault_ = absl::InternalError(status.message());
    return fault_;
  }

 private:
  absl::Status RunOnDevice(absl::Span<const AttentionProblem> batch, StageTimes& times) {
    absl::Status status = cuda::ToStatus(cudaSetDevice(device_ordinal_), "selecting the device");
    if (!status.ok()) return status;
    plan_.Prepare(batch, resources_.arena.get());
    if (plan_.outputs.end_bytes > resources_.arena_bytes) {
      return absl::InternalError(absl::StrCat("a batch takes ", plan_.outputs.end_bytes,
                                              " bytes of device memory; the lane has ", resources_.arena_bytes));
    }
    status = Enqueue();
    if (!status.ok()) return status;
    status = cuda::ToStatus(AwaitBatch(), "waiting for a batch");
    if (!status.ok()) return status;
    return ReadTimes(times);
  }

  Moment Uploaded() const { return plan_.inputs.transfers.empty() ? kStarted : kUploaded; }
  Moment Downloaded() const { return plan_.outputs.transfers.empty() ? kComputed : kDownloaded; }

  cudaError_t AwaitBatch() {
    auto* const end = resources_.events[Downloaded()].get();
    cudaError_t state = cudaErrorNotReady;
    if (polling_.longest_ns > 0 && !polling_.taken.exchange(true)) {
      const auto until = std::chrono::steady_clock::now() + std::chrono::nanoseconds(polling_.longest_ns);
      while (state == cudaErrorNotReady && std::chrono::steady_clock::now() < until) {
        std::this_thread::yield();
        state = cudaEventQuery(end);
      }
      polling_.taken = false;
    }
    return state == cudaErrorNotReady ? cudaEventSynchronize(end) : state;
  }

  absl::Status Enqueue() {
    absl::Status status = Record(kStarted);
    for (const Transfer& transfer : plan_.inputs.transfers) {
      if (!status.ok()) return status;
      status = Copy(resources_.arena.get() + transfer.device_offset_bytes, transfer.host, transfer.size_bytes,
                    cudaMemcpyHostToDevice);
    }
    if (Uploaded() == kUploaded) status.Update(Record(kUploaded));
    if (!status.ok()) return status;
    status = backend_.Launch(plan_.on_device, resources_.stream.get());
    status.Update(Record(kComputed));
    for (const Transfer& transfer : plan_.outputs.transfers) {
      if (!status.ok()) return status;
      status = Copy(transfer.host, resources_.arena.get() + transfer.device_offset_bytes, transfer.size_bytes,
                    cudaMemcpyDeviceToHost);
    }
    if (Downloaded() == kDownloaded) status.Update(Record(kDownloaded));
    return status;
  }

  absl::Status Copy(void* to, const void* from, size_t size_bytes, cudaMemcpyKind kind) {
    return cuda::ToStatus(cudaMemcpyAsync(to, from, size_bytes, kind, resources_.stream.get()),
                          kind == cudaMemcpyHostToDevice ? "uploading" : "downloading");
  }

  absl::Status Record(Moment moment) {
    return cuda::ToStatus(cudaEventRecord(resources_.events[moment].get(), resources_.stream.get()),
                          "recording an event");
  }

  absl::Status ReadTimes(StageTimes& times) {
    absl::Status status = ReadTime(kStarted, Uploaded(), times[Stage::kUpload]);
    status.Update(ReadTime(Uploaded(), kComputed, times[Stage::kCompute]));
    status.Update(ReadTime(kComputed, Downloaded(), times[Stage::kDownload]));
    return status;
  }

  absl::Status ReadTime(Moment from, Moment to, int64_t& elapsed_ns) {
    elapsed_ns = 0;
    if (from == to) return absl::OkStatus();
    constexpr double kNsPerMs = 1e6;
    float elapsed_ms = 0;
    const cudaError_t error =
        cudaEventElapsedTime(&elapsed_ms, resources_.events[from].get(), resources_.events[to].get());
    elapsed_ns = std::llround(static_cast<double>(elapsed_ms) * kNsPerMs);
    return cuda::ToStatus(error, "reading an event");
  }

  AttentionBackend& backend_;
  const int device_ordinal_;
  const LaneResources resources_;
  Polling& polling_;
  BatchPlan plan_;
  absl::Status fault_;
};

class CudaEngine final : public Engine {
 public:
  CudaEngine(std::unique_ptr<AttentionBackend> backend, std::shared_ptr<HostArena> arena, int device_ordinal,
             int64_t max_batch_bytes, int64_t lane_poll_ns)
      : backend_(std::move(backend)),
        arena_(std::move(arena)),
        device_ordinal_(device_ordinal),
        lane_arena_bytes_(DeviceArenaBytes(max_batch_bytes)),
        polling_{.longest_ns = lane_poll_ns} {}

  const AttentionBackend& backend() const override { return *backend_; }
  const std::shared_ptr<HostArena>& arena() const override { return arena_; }

  absl::StatusOr<std::unique_ptr<Lane>> CreateLane() override {
    absl::StatusOr<LaneResources> resources = CreateLaneResources(device_ordinal_, lane_arena_bytes_);
    if (!resources.ok()) return resources.status();
    return std::make_unique<CudaLane>(*backend_, device_ordinal_, *std::move(resources), polling_);
  }

 private:
  const std::unique_ptr<AttentionBackend> backend_;
  const std::shared_ptr<HostArena> arena_;
  const int device_ordinal_;
  const size_t lane_arena_bytes_;
  Polling polling_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<HostArena>> CreatePinnedArena(size_t capacity_bytes) {
  absl::StatusOr<cuda::PinnedMemory> memory = cuda::AllocatePinned(capacity_bytes);
  if (!memory.ok()) return memory.status();
  return HostArena::CreateOver(HostArena::Region(memory->release(), cuda::HostFree()), capacity_bytes);
}

std::unique_ptr<Engine> CreateCudaEngine(std::unique_ptr<AttentionBackend> backend, std::shared_ptr<HostArena> arena,
                                         int device_ordinal, int64_t max_batch_bytes, int64_t lane_poll_ns) {
  return std::make_unique<CudaEngine>(std::move(backend), std::move(arena), device_ordinal, max_batch_bytes,
                                      lane_poll_ns);
}

}  // namespace flashcore
