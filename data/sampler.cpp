#include <unlabel/augment/error.h>
#include <unlabel/augment/random.h>
#include <unlabel/data/sampler.h>

#include <algorithm>
#include <bit>
#include <utility>

namespace unlabel::data {

namespace {
constexpr std::uint32_t kRounds = 8;

std::uint32_t low(std::uint64_t value) { return static_cast<std::uint32_t>(value); }
std::uint32_t high(std::uint64_t value) { return static_cast<std::uint32_t>(value >> 32); }
}  // namespace

Permutation::Permutation(std::uint64_t n, std::uint64_t seed, std::uint64_t epoch) : n_(n) {
  if (n < 1 || n > std::uint64_t{1} << 62) throw UsageError("a permutation of ", n, " elements; between 1 and 2^62 are possible");
  const auto block = augment::philox4x32({low(epoch), high(epoch), 1, 0}, {low(seed), high(seed)});
  key_ = std::uint64_t{block[1]} << 32 | block[0];
  half_bits_ = std::max(1, (static_cast<int>(std::bit_width(n - 1)) + 1) / 2);
}

std::uint64_t Permutation::operator()(std::uint64_t i) const {
  UNLABEL_INVARIANT(i < n_);
  const std::uint32_t mask = low((std::uint64_t{1} << half_bits_) - 1);
  do {
    auto left = low(i >> half_bits_), right = low(i) & mask;
    for (std::uint32_t round = 0; round < kRounds; ++round) {
      const auto bits = augment::philox4x32({right, round, 0, 0}, {low(key_), high(key_)})[0];
      left = std::exchange(right, left ^ (bits & mask));
    }
    i = std::uint64_t{left} << half_bits_ | right;
  } while (i >= n_);
  return i;
}

Sampler::Sampler(std::int64_t samples, std::int64_t global_batch, std::uint64_t seed, int rank, int world_size)
    : samples_(samples), global_batch_(global_batch), seed_(seed), rank_(rank), world_size_(world_size) {
  if (world_size < 1 || rank < 0 || rank >= world_size)
    throw UsageError("rank ", rank, " of ", world_size, " ranks; ranks count from 0 to the world size less one");
  if (samples < world_size) throw UsageError("the data set has ", samples, " samples, fewer than the ", world_size, " ranks; use fewer ranks");
  if (global_batch < 1) throw UsageError("batch size ", global_batch, "; it must be at least ", world_size, ", one sample a rank");
  const std::int64_t largest = samples / world_size * world_size;
  if (global_batch > samples) {
    throw UsageError("batch size ", global_batch, " is larger than the data set, which has ", samples, " samples; use at most ", largest);
  }
  if (const auto rest = global_batch % world_size; rest != 0) {
    const auto below = global_batch - rest, above = below + world_size;
    const auto nearby = below == 0         ? concat(above)
                        : above > largest ? concat(below)
                                          : concat(below, " or ", above);
    throw UsageError("batch size ", global_batch, " cannot be divided among ", world_size, " ranks; use ", nearby);
  }
}

std::vector<std::int64_t> Sampler::indices(std::int64_t epoch, std::int64_t step) const {
  if (step < 0 || step >= steps_per_epoch())
    throw UsageError("step ", step, " is not in an epoch of ", steps_per_epoch(), " steps; count them from 0");
  const auto first = step * global_batch_ + rank_ * local_batch();
  if (!order_.empty()) return {order_.begin() + first, order_.begin() + first + local_batch()};
  const Permutation permutation(static_cast<std::uint64_t>(samples_), seed_, static_cast<std::uint64_t>(epoch));
  std::vector<std::int64_t> result(static_cast<std::size_t>(local_batch()));
  for (std::size_t i = 0; i < result.size(); ++i)
    result[i] = static_cast<std::int64_t>(permutation(static_cast<std::uint64_t>(first) + i));
  return result;
}

void Sampler::set_order(std::vector<std::int64_t> order) {
  if (const auto needed = steps_per_epoch() * global_batch_; !order.empty() && static_cast<std::int64_t>(order.size()) < needed)
    throw UsageError("the order has ", order.size(), " entries, but an epoch takes ", needed);
  for (const auto index : order) {
    if (index < 0 || index >= samples_) throw UsageError("the order names sample ", index, " of ", samples_, "; count them from 0");
  }
  order_ = std::move(order);
}

}  // namespace unlabel::data
