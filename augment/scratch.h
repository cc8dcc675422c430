#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace unlabel::augment {

/// What a thread keeps of a buffer that it uses image after image.
constexpr std::size_t kKeptScratchBytes = std::size_t{64} << 20;

/// Memory that begins where a cache line does: of vectors that begin elsewhere every load is two.
template <class T>
struct LineAllocator {
  using value_type = T;
  static constexpr std::align_val_t kLine{64};

  LineAllocator() = default;
  template <class Other>
  explicit LineAllocator(const LineAllocator<Other>&) {}
  T* allocate(std::size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), kLine)); }
  void deallocate(T* at, std::size_t) { ::operator delete(at, kLine); }
  template <class Other>
  bool operator==(const LineAllocator<Other>&) const {
    return true;
  }
};

template <class T>
using LineVector = std::vector<T, LineAllocator<T>>;

/// Frees a thread's buffer when it is larger than that: one huge image must not cost its memory for ever.
template <class T, class Allocator>
void release_if_huge(std::vector<T, Allocator>& buffer) {
  if (buffer.capacity() * sizeof(T) > kKeptScratchBytes) std::vector<T, Allocator>().swap(buffer);
}

}  // namespace unlabel::augment
