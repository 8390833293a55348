// An allocator for std::allocate_shared that keeps the memory of dead objects for the next ones, so that a busy server
// takes none from the heap. What it keeps is what was alive at once, at most. Thread-safe.
#ifndef FLASHCORE_SERVER_SCHEDULER_RECYCLING_ALLOCATOR_H_
#define FLASHCORE_SERVER_SCHEDULER_RECYCLING_ALLOCATOR_H_

#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "kernels/base/mutex.h"

namespace flashcore {

// Memory blocks of one size, which the first to ask decides.
class RecycledBlocks {
 public:
  RecycledBlocks() = default;
  ~RecycledBlocks() {
    for (void* block : free_) ::operator delete(block);
  }
  RecycledBlocks(const RecycledBlocks&) = delete;
  RecycledBlocks& operator=(const RecycledBlocks&) = delete;

  void* Get(size_t size_bytes) {
    {
      const MutexLock lock(mutex_);
      if (size_bytes_ == 0) size_bytes_ = size_bytes;
      if (size_bytes == size_bytes_ && !free_.empty()) {
        void* const block = free_.back();
        free_.pop_back();
        return block;
      }
    }
    return ::operator new(size_bytes);
  }

  void Put(void* block, size_t size_bytes) {
    {
      const MutexLock lock(mutex_);
      if (size_bytes == size_bytes_) {
        free_.push_back(block);
        return;
      }
    }
    ::operator delete(block);
  }

 private:
  Mutex mutex_;
  size_t size_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<void*> free_ ABSL_GUARDED_BY(mutex_);
};

// Objects hold on to the blocks, so they may outlive whoever made them.
template <typename T>
class RecyclingAllocator {
 public:
  using value_type = T;

  explicit RecyclingAllocator(std::shared_ptr<RecycledBlocks> blocks) : blocks_(std::move(blocks)) {}
  template <typename Other>
  explicit RecyclingAllocator(const RecyclingAllocator<Other>& other) : blocks_(other.blocks()) {}

  T* allocate(size_t count) {
    static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
    return static_cast<T*>(blocks_->Get(count * sizeof(T)));
  }
  void deallocate(T* object, size_t count) { blocks_->Put(object, count * sizeof(T)); }

  const std::shared_ptr<RecycledBlocks>& blocks() const { return blocks_; }
  template <typename Other>
  bool operator==(const RecyclingAllocator<Other>& other) const {
    return blocks_ == other.blocks();
  }

 private:
  std::shared_ptr<RecycledBlocks> blocks_;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_SCHEDULER_RECYCLING_ALLOCATOR_H_
