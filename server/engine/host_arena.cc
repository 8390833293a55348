#include "server/engine/host_arena.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace flashcore {
namespace {

size_t RoundUp(size_t bytes) {
  return (bytes + HostArena::kAlignment - 1) / HostArena::kAlignment * HostArena::kAlignment;
}
size_t RoundDown(size_t bytes) { return bytes / HostArena::kAlignment * HostArena::kAlignment; }

}  // namespace

HostBlock::HostBlock(std::shared_ptr<HostArena> arena, std::shared_ptr<MemoryAccount> account, std::byte* data,
                     size_t size_bytes)
    : arena_(std::move(arena)), account_(std::move(account)), data_(data), size_bytes_(size_bytes) {}

HostBlock::HostBlock(HostBlock&& other) noexcept
    : arena_(std::move(other.arena_)),
      account_(std::move(other.account_)),
      data_(std::exchange(other.data_, nullptr)),
      size_bytes_(std::exchange(other.size_bytes_, 0)) {}

HostBlock& HostBlock::operator=(HostBlock&& other) noexcept {
  if (this != &other) {
    Reset();
    arena_ = std::move(other.arena_);
    account_ = std::move(other.account_);
    data_ = std::exchange(other.data_, nullptr);
    size_bytes_ = std::exchange(other.size_bytes_, 0);
  }
  return *this;
}

HostBlock::~HostBlock() { Reset(); }

void HostBlock::Reset() {
  if (data_ == nullptr) return;
  arena_->Free(data_, size_bytes_, account_.get());
  data_ = nullptr;
  size_bytes_ = 0;
  account_.reset();
  arena_.reset();
}

absl::StatusOr<std::shared_ptr<HostArena>> HostArena::CreatePageable(size_t capacity_bytes) {
  const size_t mapped_bytes = RoundUp(capacity_bytes);
  if (mapped_bytes < capacity_bytes || mapped_bytes == 0) {
    return absl::InvalidArgumentError(absl::StrCat("no arena can have ", capacity_bytes, " bytes"));
  }
  void* memory = mmap(nullptr, mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot reserve ", capacity_bytes, " bytes of staging memory: ", std::strerror(errno)));
  }
  Region region(static_cast<std::byte*>(memory), [mapped_bytes](std::byte* data) { munmap(data, mapped_bytes); });
  return CreateOver(std::move(region), capacity_bytes);
}

std::shared_ptr<HostArena> HostArena::CreateOver(Region region, size_t capacity_bytes) {
  return std::shared_ptr<HostArena>(new HostArena(std::move(region), RoundDown(capacity_bytes)));
}

HostArena::HostArena(Region region, size_t capacity_bytes)
    : region_(std::move(region)), capacity_bytes_(capacity_bytes) {
  const MutexLock lock(mutex_);
  if (capacity_bytes_ > 0) InsertFree(0, capacity_bytes_);
}

absl::StatusOr<HostBlock> HostArena::Allocate(size_t size_bytes, std::shared_ptr<MemoryAccount> account) {
  if (size_bytes == 0) return HostBlock();
  if (size_bytes > capacity_bytes_) {
    return absl::ResourceExhaustedError(
        absl::StrCat(size_bytes, " bytes of staging memory were asked for; the server has ", capacity_bytes_));
  }
  const size_t length = RoundUp(size_bytes);
  const MutexLock lock(mutex_);
  const auto best = free_by_length_.lower_bound({length, 0});
  if (best == free_by_length_.end()) {
    return absl::ResourceExhaustedError(absl::StrCat(size_bytes, " bytes of staging memory were asked for; ",
                                                     capacity_bytes_ - used_bytes_, " of ", capacity_bytes_,
                                                     " are free, in shorter stretches"));
  }
  const auto [stretch, offset] = *best;
  EraseFree(free_by_offset_.find(offset));
  if (stretch > length) InsertFree(offset + length, stretch - length);
  used_bytes_ += length;
  if (account != nullptr) account->used_bytes_.fetch_add(length, std::memory_order_relaxed);
  return HostBlock(shared_from_this(), std::move(account), region_.get() + offset, size_bytes);
}

size_t HostArena::used_bytes() const {
  const MutexLock lock(mutex_);
  return used_bytes_;
}

void HostArena::Free(const std::byte* data, size_t size_bytes, MemoryAccount* account) {
  auto offset = static_cast<size_t>(data - region_.get());
  size_t length = RoundUp(size_bytes);
  if (account != nullptr) account->used_bytes_.fetch_sub(length, std::memory_order_relaxed);
  const MutexLock lock(mutex_);
  used_bytes_ -= length;
  const auto after = free_by_offset_.lower_bound(offset);
  if (after != free_by_offset_.begin()) {
    const auto before = std::prev(after);
    if (before->first + before->second == offset) {
      offset = before->first;
      length += before->second;
      EraseFree(before);
    }
  }
  if (after != free_by_offset_.end() && offset + length == after->first) {
    length += after->second;
    EraseFree(after);
  }
  InsertFree(offset, length);
}

void HostArena::InsertFree(size_t offset, size_t length) {
  free_by_offset_.emplace(offset, length);
  free_by_length_.emplace(length, offset);
}

void HostArena::EraseFree(std::pmr::map<size_t, size_t>::iterator stretch) {
  free_by_length_.erase({stretch->second, stretch->first});
  free_by_offset_.erase(stretch);
}

}  // namespace flashcore
