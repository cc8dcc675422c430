#pragma once

#include <cstddef>
#include <vector>

namespace unlabel::augment {

/// What a thread keeps of a buffer that it uses image after image.
constexpr std::size_t kKeptScratchBytes = std::size_t{64} << 20;

/// Frees a thread's buffer when it is larger than that: one huge image must not cost its memory for ever.
template <class T>
void release_if_huge(std::vector<T>& buffer) {
  if (buffer.capacity() * sizeof(T) > kKeptScratchBytes) std::vector<T>().swap(buffer);
}

}  // namespace unlabel::augment
