#pragma once

#include <cstdint>
#include <vector>

namespace unlabel::data {

/// A keyed permutation of {0, ..., n - 1} in O(1) memory: a Feistel network of Philox rounds on the smallest even-bit domain that holds
/// n, walked until it falls inside (Black & Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002).
///
/// With w = half_bits and L, R the halves of i, a round r = 0, ..., 7 is
///
///     (L, R) <- (R, L xor (philox4x32({R, r, 0, 0}, key)[0] mod 2^w))
///
/// and the key is the first half of philox4x32({epoch low, epoch high, 1, 0}, seed), a block that no view uses. The domain is less than
/// four times n (or has four elements), so an element takes fewer than four walks on average, whatever n is.
class Permutation {
 public:
  /// Throws UsageError unless 1 <= n <= 2^62.
  Permutation(std::uint64_t n, std::uint64_t seed, std::uint64_t epoch);
  std::uint64_t size() const { return n_; }
  /// The i-th element, i < n.
  std::uint64_t operator()(std::uint64_t i) const;

 private:
  std::uint64_t n_;
  std::uint64_t key_;
  int half_bits_;
};

/// Which samples a step takes. Step t of an epoch takes order[tB, (t+1)B) of the global order, whatever the world size; this rank's part
/// is the `rank`-th of `world_size` equal slices of it. The last incomplete batch is dropped. Its whole state is (epoch, step).
class Sampler {
 public:
  /// Throws UsageError when the batch is larger than the data or cannot be divided by the world size (naming batches that can).
  Sampler(std::int64_t samples, std::int64_t global_batch, std::uint64_t seed, int rank = 0, int world_size = 1);

  std::int64_t samples() const { return samples_; }
  std::int64_t steps_per_epoch() const { return samples_ / global_batch_; }
  std::int64_t local_batch() const { return global_batch_ / world_size_; }

  /// Data set indices of this rank's slice of step `step` in `epoch`. Throws UsageError for a step outside [0, steps_per_epoch()).
  std::vector<std::int64_t> indices(std::int64_t epoch, std::int64_t step) const;

  /// Replaces the permutation by an order of one's own for the epochs to come (DeepCluster: balanced by cluster); empty: back to it.
  /// `order` has at least steps_per_epoch() * B entries, each in [0, samples()); a sample may come more than once. Throws UsageError.
  void set_order(std::vector<std::int64_t> order);

 private:
  std::int64_t samples_, global_batch_;
  std::uint64_t seed_;
  int rank_, world_size_;
  std::vector<std::int64_t> order_;
};

}  // namespace unlabel::data
