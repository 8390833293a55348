// Bounded staging memory: one region, taken at start, from which every admitted request's inputs and outputs come.
// Page-locked where a GPU reads it. Its size is the server's bound on bytes in flight.
//
// Thread-safe. Never blocks on anything but its own short critical section.
#ifndef FLASHCORE_SERVER_ENGINE_HOST_ARENA_H_
#define FLASHCORE_SERVER_ENGINE_HOST_ARENA_H_

#include <atomic>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <memory_resource>
#include <set>
#include <utility>

#include "absl/status/statusor.h"
#include "kernels/base/mutex.h"

namespace flashcore {

class HostArena;

// What one party holds of an arena: the sum of its live blocks, rounded up as the arena's used_bytes are. Thread-safe.
class MemoryAccount {
 public:
  size_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }

 private:
  friend class HostArena;
  std::atomic<size_t> used_bytes_ = 0;
};

// A piece of the arena; gives itself back when destroyed, on any thread. Keeps the arena alive.
class HostBlock {
 public:
  HostBlock() = default;
  HostBlock(HostBlock&& other) noexcept;
  HostBlock& operator=(HostBlock&& other) noexcept;
  ~HostBlock();

  // Aligned to HostArena::kAlignment. nullptr for an empty block.
  std::byte* data() const { return data_; }
  // As asked for.
  size_t size_bytes() const { return size_bytes_; }

 private:
  friend class HostArena;
  HostBlock(std::shared_ptr<HostArena> arena, std::shared_ptr<MemoryAccount> account, std::byte* data,
            size_t size_bytes);
  void Reset();

  std::shared_ptr<HostArena> arena_;
  std::shared_ptr<MemoryAccount> account_;  // nullptr: nobody's.
  std::byte* data_ = nullptr;
  size_t size_bytes_ = 0;
};

class HostArena : public std::enable_shared_from_this<HostArena> {
 public:
  // Also the granularity: a block of n bytes takes n rounded up to this.
  static constexpr size_t kAlignment = 256;

  // A region of memory and what frees it.
  using Region = std::unique_ptr<std::byte, std::function<void(std::byte*)>>;

  // Ordinary pageable memory, reserved at once and backed as it is touched. RESOURCE_EXHAUSTED if there is none.
  static absl::StatusOr<std::shared_ptr<HostArena>> CreatePageable(size_t capacity_bytes);

  // Over any region, kAlignment-aligned; a multiple of kAlignment is used.
  static std::shared_ptr<HostArena> CreateOver(Region region, size_t capacity_bytes);

  // RESOURCE_EXHAUSTED when no free stretch is long enough. Best fit; neighbours coalesce when freed. The contents are
  // whatever the last owner left. A block of 0 bytes is empty and takes nothing. The block counts in `account`, if
  // there is one, until it is destroyed.
  absl::StatusOr<HostBlock> Allocate(size_t size_bytes, std::shared_ptr<MemoryAccount> account = nullptr);

  size_t capacity_bytes() const { return capacity_bytes_; }
  // Taken by live blocks, rounded up as they are.
  size_t used_bytes() const;

 private:
  friend class HostBlock;
  HostArena(Region region, size_t capacity_bytes);
  void Free(const std::byte* data, size_t size_bytes, MemoryAccount* account);
  void InsertFree(size_t offset, size_t length) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EraseFree(std::pmr::map<size_t, size_t>::iterator stretch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Region region_;
  const size_t capacity_bytes_;
  mutable Mutex mutex_;
  // Keeps the nodes of the two below, so that a busy arena takes none from the heap.
  std::pmr::unsynchronized_pool_resource nodes_ ABSL_GUARDED_BY(mutex_);
  std::pmr::map<size_t, size_t> free_by_offset_ ABSL_GUARDED_BY(mutex_){&nodes_};  // offset -> length
  // (length, offset): the same stretches, ordered for best fit; the lowest of equals goes first.
  std::pmr::set<std::pair<size_t, size_t>> free_by_length_ ABSL_GUARDED_BY(mutex_){&nodes_};
  size_t used_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_ENGINE_HOST_ARENA_H_
