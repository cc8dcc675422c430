#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace unlabel::augment {

/// The largest buffer that a thread keeps from one image to the next.
constexpr std::size_t kKeptScratchBytes = std::size_t{64} << 20;

/// Memory that is aligned to cache lines: loads of vectors that cross a line cost two.
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

/// Frees a thread's buffer when it is larger than that, so that one huge image does not keep its memory.
template <class T, class Allocator>
void release_if_huge(std::vector<T, Allocator>& buffer) {
  if (buffer.capacity() * sizeof(T) > kKeptScratchBytes) std::vector<T, Allocator>().swap(buffer);
}

}  // namespace unlabel::augment
