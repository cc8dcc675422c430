#include <unlabel/augment/error.h>
#include <unlabel/augment/random.h>

#include <utility>

namespace unlabel::augment {

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
  constexpr std::uint64_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
  constexpr std::uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = kMultiplier0 * counter[0];
    const std::uint64_t product1 = kMultiplier1 * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

namespace {
std::uint32_t low(std::uint64_t value) { return static_cast<std::uint32_t>(value); }
std::uint32_t high(std::uint64_t value) { return static_cast<std::uint32_t>(value >> 32); }
}  // namespace

Random::Random(const ViewKey& key) {
  const auto derived = philox4x32({low(key.epoch), high(key.epoch), 0, 0}, {low(key.seed), high(key.seed)});
  key_ = {derived[0], derived[1]};
  counter_ = {0, key.view, low(key.sample), high(key.sample)};
}

std::uint32_t Random::next() {
  if (used_ == 4) {
    block_ = philox4x32(counter_, key_);
    ++counter_[0];
    used_ = 0;
  }
  return block_[used_++];
}

double Random::uniform() {
  const std::uint64_t upper = next() >> 5, lower = next() >> 6;
  return static_cast<double>(upper << 26 | lower) * 0x1p-53;
}

double Random::uniform(double low_bound, double high_bound) { return low_bound + (high_bound - low_bound) * uniform(); }

std::uint32_t Random::below(std::uint32_t n) {
  UNLABEL_INVARIANT(n > 0);
  std::uint64_t product = static_cast<std::uint64_t>(next()) * n;
  if (low(product) < n) {
    const std::uint32_t threshold = -n % n;
    while (low(product) < threshold) product = static_cast<std::uint64_t>(next()) * n;
  }
  return high(product);
}

bool Random::bernoulli(double p) { return uniform() < p; }

void Random::shuffle(std::span<std::uint8_t> values) {
  for (std::size_t i = values.size(); i > 1; --i)
    std::swap(values[i - 1], values[below(static_cast<std::uint32_t>(i))]);
}

}  // namespace unlabel::augment
