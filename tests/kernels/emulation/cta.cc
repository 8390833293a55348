#include "tests/kernels/emulation/cta.h"

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <utility>

#include "kernels/cuda/tile_config.h"

namespace flashcore::cuda {

// What kernels declare as their dynamic shared memory.
alignas(128) constinit thread_local unsigned char shared[kMaxSharedBytes];

}  // namespace flashcore::cuda

namespace flashcore::emulation {
namespace {

constexpr size_t kStackBytes = size_t{256} << 10;
constexpr size_t kMaxThreads = 512;
constexpr size_t kMaxWarps = kMaxThreads / kLanes;
constexpr size_t kBarriers = 16;
constexpr uint32_t kAllLanes = 0xFFFFFFFFU;
constexpr size_t kVectorBytes = 16;
constexpr int kNan = 0xFF;  // Every byte of it, in every type.
// Not 0, so that an offset is no address.
constexpr uint32_t kSharedBase = 1024;

struct Copy {
  uint32_t shared;
  const void* source;
};

// A CUDA thread, or the host's. Lives as long as the host thread, and runs one kernel after the other.
struct Fiber {
  size_t index = 0;
  bool started = false;
  ucontext_t start = {};
  jmp_buf resume = {};
  std::vector<Copy> copies;         // Under way, oldest first.
  std::vector<size_t> group_sizes;  // Of the committed ones.
  size_t uncommitted = 0;

  size_t warp() const { return index / kLanes; }
  uint32_t lane_bit() const { return 1U << (index % kLanes); }
};

struct Warp {
  uint32_t ready = 0;  // Lanes that can run.
  uint32_t met = 0;    // Lanes that have come to the collective.
  const char* collective = "";
  std::array<void*, kLanes> operands = {};
};

struct BarrierState {
  int arrived = 0;
  bool any = false;     // Of those that have arrived.
  bool result = false;  // Of the last time that all had.
  std::array<uint32_t, kMaxWarps> waiting = {};
};

class Machine {
 public:
  // The calling host thread's.
  static Machine& Mine();

  void SetSchedule(Order order, uint64_t seed) {
    order_ = order;
    random_.seed(seed);
  }
  void SetReadable(std::vector<absl::Span<const std::byte>> tensors) { readable_ = std::move(tensors); }
  void RunGrid(int grid, int threads, size_t shared_bytes, absl::FunctionRef<void()> kernel);

  int grid() const { return grid_; }
  int block() const { return block_; }
  size_t threads() const { return threads_; }
  Fiber& current() { return *current_; }
  bool IsShared(uint32_t offset, uint32_t bytes) const {
    return offset % bytes == 0 && uint64_t{offset} + bytes <= shared_bytes_;
  }
  bool IsReadable(const std::byte* data);

  void Meet(const char* collective, void* operand, WarpWork work);
  bool Barrier(size_t id, int threads, bool predicate);

  // Ends the process.
  [[noreturn]] void Die(const char* reason) const;

 private:
  static void RunFiber();
  static std::unique_ptr<Fiber> MakeFiber(size_t index);

  std::vector<size_t> Sequence(size_t count);
  void Reset();
  void RunCta();
  void SwitchTo(Fiber& next);
  // Runs others until this fiber's bit of `ready` is set again.
  void Yield();

  Order order_ = Order::kForward;
  std::mt19937_64 random_;
  std::vector<absl::Span<const std::byte>> readable_;
  size_t last_readable_ = 0;
  std::optional<absl::FunctionRef<void()>> kernel_;
  size_t shared_bytes_ = 0;
  int grid_ = 0;
  int block_ = 0;
  size_t threads_ = 0;
  size_t running_ = 0;              // Of the CTA's threads, those that have not ended.
  std::vector<size_t> warp_order_;  // Who is next if a warp's lanes all wait.
  std::vector<size_t> warp_turn_;   // A warp's place in it.
  std::array<Warp, kMaxWarps> warps_;
  std::array<BarrierState, kBarriers> barriers_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  Fiber host_;
  Fiber* current_ = &host_;
};

Machine& Machine::Mine() {
  thread_local Machine machine;
  return machine;
}

void Machine::Die(const char* reason) const {
  std::fprintf(stderr, "emulated kernel: %s: CTA %d of %d, thread %zu of %zu\n", reason, block_, grid_, current_->index,
               threads_);
  for (size_t i = 0; i < threads_ / kLanes; ++i) {
    std::fprintf(stderr, "  warp %zu: lanes %08x can run, %08x are at %s\n", i, warps_[i].ready, warps_[i].met,
                 warps_[i].collective);
  }
  for (size_t i = 0; i < kBarriers; ++i) {
    if (barriers_[i].arrived > 0) std::fprintf(stderr, "  barrier %zu: %d threads\n", i, barriers_[i].arrived);
  }
  std::abort();
}

void Machine::RunFiber() {
  Machine& machine = Mine();
  for (;;) {
    (*machine.kernel_)();
    Fiber& self = *machine.current_;
    if (!self.copies.empty()) machine.Die("a thread ended with copies under way");
    --machine.running_;
    machine.warps_[self.warp()].ready &= ~self.lane_bit();
    machine.Yield();
  }
}

std::unique_ptr<Fiber> Machine::MakeFiber(size_t index) {
  auto fiber = std::make_unique<Fiber>();
  fiber->index = index;
  getcontext(&fiber->start);
  void* const stack =
      mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  // Its last page ends it rather than its neighbour.
  if (stack == MAP_FAILED || mprotect(stack, static_cast<size_t>(sysconf(_SC_PAGESIZE)), PROT_NONE) != 0) std::abort();
  fiber->start.uc_stack.ss_sp = stack;
  fiber->start.uc_stack.ss_size = kStackBytes;
  makecontext(&fiber->start, &Machine::RunFiber, 0);
  return fiber;
}

// A switch of contexts alone would ask the kernel for the signal mask each time.
[[gnu::noinline]] void Machine::SwitchTo(Fiber& next) {
  if (_setjmp(current_->resume) != 0) return;
  current_ = &next;
  if (next.started) _longjmp(next.resume, 1);
  next.started = true;
  setcontext(&next.start);
}

void Machine::Yield() {
  const size_t own = current_->warp();
  if (const uint32_t ready = warps_[own].ready; ready != 0) {
    const size_t lane = current_->index % kLanes;
    const auto ahead = static_cast<size_t>(std::countr_zero(std::rotr(ready, static_cast<int>(lane))));
    return SwitchTo(*fibers_[own * kLanes + (lane + ahead) % kLanes]);
  }
  for (size_t i = 1; i <= warp_order_.size(); ++i) {
    const size_t warp = warp_order_[(warp_turn_[own] + i) % warp_order_.size()];
    const uint32_t ready = warps_[warp].ready;
    if (ready != 0) return SwitchTo(*fibers_[warp * kLanes + static_cast<size_t>(std::countr_zero(ready))]);
  }
  if (running_ > 0) Die("every thread waits");
  SwitchTo(host_);
}

std::vector<size_t> Machine::Sequence(size_t count) {
  std::vector<size_t> sequence(count);
  std::iota(sequence.begin(), sequence.end(), 0);
  if (order_ == Order::kBackward) std::reverse(sequence.begin(), sequence.end());
  if (order_ == Order::kShuffled) std::shuffle(sequence.begin(), sequence.end(), random_);
  return sequence;
}

void Machine::Reset() {
  std::memset(cuda::shared, kNan, sizeof(cuda::shared));
  const size_t warps = threads_ / kLanes;
  warp_order_ = Sequence(warps);
  warp_turn_.resize(warps);
  for (size_t i = 0; i < warps; ++i) warp_turn_[warp_order_[i]] = i;
  warps_ = {};
  for (size_t i = 0; i < warps; ++i) warps_[i].ready = kAllLanes;
  barriers_ = {};
  running_ = threads_;
}

void Machine::RunCta() {
  Reset();
  SwitchTo(*fibers_[warp_order_.front() * kLanes]);
  if (std::any_of(cuda::shared + shared_bytes_, std::end(cuda::shared), [](auto byte) { return byte != kNan; })) {
    Die("wrote past its shared memory");
  }
}

void Machine::RunGrid(int grid, int threads, size_t shared_bytes, absl::FunctionRef<void()> kernel) {
  grid_ = grid;
  threads_ = static_cast<size_t>(threads);
  shared_bytes_ = shared_bytes;
  if (threads_ % kLanes != 0 || threads_ > kMaxThreads || shared_bytes > sizeof(cuda::shared)) Die("a bad launch");
  while (fibers_.size() < threads_) fibers_.push_back(MakeFiber(fibers_.size()));
  kernel_.emplace(kernel);
  host_.started = true;
  for (const size_t block : Sequence(static_cast<size_t>(grid))) {
    block_ = static_cast<int>(block);
    RunCta();
  }
  kernel_.reset();
}

bool Machine::IsReadable(const std::byte* data) {
  const auto holds = [data](absl::Span<const std::byte> tensor) {
    return data >= tensor.data() && data + kVectorBytes <= tensor.data() + tensor.size();
  };
  // Copies of the same tensor come in a row.
  if (last_readable_ < readable_.size() && holds(readable_[last_readable_])) return true;
  const auto found = std::find_if(readable_.begin(), readable_.end(), holds);
  last_readable_ = static_cast<size_t>(found - readable_.begin());
  return found != readable_.end();
}

void Machine::Meet(const char* collective, void* operand, WarpWork work) {
  const Fiber& self = *current_;
  Warp& warp = warps_[self.warp()];
  if (warp.met != 0 && warp.collective != collective) Die("a warp's lanes are at different collectives");
  warp.collective = collective;
  warp.operands[self.index % kLanes] = operand;
  warp.met |= self.lane_bit();
  if (warp.met != kAllLanes) {
    warp.ready &= ~self.lane_bit();
    return Yield();
  }
  if (work != nullptr) work(warp.operands);
  warp.met = 0;
  warp.ready = kAllLanes;
}

bool Machine::Barrier(size_t id, int threads, bool predicate) {
  const Fiber& self = *current_;
  BarrierState& barrier = barriers_[id];
  barrier.any = barrier.any || predicate;
  barrier.waiting[self.warp()] |= self.lane_bit();
  if (++barrier.arrived < threads) {
    warps_[self.warp()].ready &= ~self.lane_bit();
    Yield();
    return barrier.result;
  }
  for (size_t i = 0; i < kMaxWarps; ++i) warps_[i].ready |= barrier.waiting[i];
  barrier = {.result = barrier.any};
  return barrier.result;
}

}  // namespace

void SetSchedule(Order order, uint64_t seed) { Machine::Mine().SetSchedule(order, seed); }

void SetReadable(std::vector<absl::Span<const std::byte>> tensors) { Machine::Mine().SetReadable(std::move(tensors)); }

void RunGrid(int grid, int threads, size_t shared_bytes, absl::FunctionRef<void()> kernel) {
  Machine::Mine().RunGrid(grid, threads, shared_bytes, kernel);
}

int ThreadIndex() { return static_cast<int>(Machine::Mine().current().index); }
int BlockIndex() { return Machine::Mine().block(); }
int BlockDimension() { return static_cast<int>(Machine::Mine().threads()); }
int GridDimension() { return Machine::Mine().grid(); }

uint32_t SharedAddressOf(const void* byte) {
  return kSharedBase + static_cast<uint32_t>(static_cast<const unsigned char*>(byte) - cuda::shared);
}

unsigned char* SharedBytes(uint32_t address, uint32_t bytes) {
  const Machine& machine = Machine::Mine();
  const uint32_t offset = address - kSharedBase;
  if (!machine.IsShared(offset, bytes)) machine.Die("a bad address in shared memory");
  return cuda::shared + offset;
}

void Meet(const char* collective, void* operand, WarpWork work) { Machine::Mine().Meet(collective, operand, work); }

bool Barrier(int id, int threads, bool predicate) {
  return Machine::Mine().Barrier(static_cast<size_t>(id), threads, predicate);
}

void IssueCopy(uint32_t shared, const void* source) {
  Machine& machine = Machine::Mine();
  if (source != nullptr && !machine.IsReadable(static_cast<const std::byte*>(source))) {
    machine.Die("a copy from outside of the tensors");
  }
  std::memset(SharedBytes(shared, kVectorBytes), kNan, kVectorBytes);
  machine.current().copies.push_back({shared, source});
  ++machine.current().uncommitted;
}

void CommitCopies() {
  Fiber& self = Machine::Mine().current();
  self.group_sizes.push_back(std::exchange(self.uncommitted, 0));
}

void WaitForCopies(size_t pending) {
  Fiber& self = Machine::Mine().current();
  if (self.group_sizes.size() <= pending) return;
  const auto groups_end = self.group_sizes.end() - static_cast<std::ptrdiff_t>(pending);
  const auto arriving = std::accumulate(self.group_sizes.begin(), groups_end, size_t{0});
  const auto copies_end = self.copies.begin() + static_cast<std::ptrdiff_t>(arriving);
  std::for_each(self.copies.begin(), copies_end, [](const Copy& copy) {
    unsigned char* const to = SharedBytes(copy.shared, kVectorBytes);
    if (copy.source == nullptr) {
      std::memset(to, 0, kVectorBytes);
    } else {
      std::memcpy(to, copy.source, kVectorBytes);
    }
  });
  self.copies.erase(self.copies.begin(), copies_end);
  self.group_sizes.erase(self.group_sizes.begin(), groups_end);
}

}  // namespace flashcore::emulation
