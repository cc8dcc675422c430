#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace unlabel::augment {

/// Names one view of one sample in one epoch. Everything random about that view is a pure function of these four
/// numbers, so neither the order of threads nor the number of workers or ranks changes what a sample looks like.
struct ViewKey {
  std::uint64_t seed = 0;
  std::uint64_t epoch = 0;
  std::uint64_t sample = 0;  ///< index in the data set, not in the batch
  std::uint32_t view = 0;    ///< 0-based; global crops come first

  bool operator==(const ViewKey&) const = default;
};

/// One block of Philox4x32-10: 128 random bits from a 128-bit counter and a 64-bit key.
/// Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011; philox4x32 with R = 10 of its Random123 library.
std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key);

/// A stream of random numbers that starts at a key and has no other state.
///
/// The Philox key is the first half of the block philox4x32({epoch, 0, 0}, seed); the counter is {block, view, sample},
/// each number split into low and high words, so that no two views share a block. A view may draw 2^34 numbers.
class Random {
 public:
  explicit Random(const ViewKey& key);

  /// 32 uniform bits.
  std::uint32_t next();
  /// Uniform in [0, 1), with 53 random bits. Takes two words.
  double uniform();
  /// Uniform in [low, high); returns low when they are equal.
  double uniform(double low, double high);
  /// Uniform in {0, ..., n - 1} without bias (Lemire's multiplication with rejection). n must be positive.
  std::uint32_t below(std::uint32_t n);
  /// True with probability p. Always takes the same number of words, whatever p is.
  bool bernoulli(double p);
  /// Shuffles in place (Fisher-Yates from the end).
  void shuffle(std::span<std::uint8_t> values);

 private:
  std::array<std::uint32_t, 2> key_;
  std::array<std::uint32_t, 4> counter_;
  std::array<std::uint32_t, 4> block_{};
  unsigned used_ = 4;
};

}  // namespace unlabel::augment
