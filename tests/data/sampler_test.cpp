#include <unlabel/augment/error.h>
#include <unlabel/augment/options.h>
#include <unlabel/data/sampler.h>

#include "data/temp_folder.h"
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <vector>

namespace unlabel::data {
namespace {

TEST(Permutation, EqualsTheGoldenValues) {
  const auto golden = read_json_file(UNLABEL_SOURCE_DIR "/tests/golden/sampler.json");
  ASSERT_FALSE(golden.at("cases").empty());
  for (const auto& entry : golden.at("cases")) {
    const Permutation permutation(entry.at("n"), entry.at("seed"), entry.at("epoch"));
    for (std::size_t i = 0; i < entry.at("positions").size(); ++i)
      EXPECT_EQ(permutation(entry.at("positions")[i]), entry.at("elements")[i].get<std::uint64_t>()) << entry.dump();
  }
}

TEST(Permutation, IsABijection) {
  std::vector<std::uint64_t> sizes;
  for (std::uint64_t n = 1; n <= 70; ++n) sizes.push_back(n);
  for (int bits = 7; bits <= 16; ++bits) {
    for (int offset : {-1, 0, 1}) sizes.push_back((std::uint64_t{1} << bits) + offset);
  }
  for (std::uint64_t prime : {101u, 997u, 7919u, 50021u}) sizes.push_back(prime);
  for (const auto n : sizes) {
    const Permutation permutation(n, 5, n % 3);
    std::vector<bool> seen(n);
    for (std::uint64_t i = 0; i < n; ++i) {
      const auto element = permutation(i);
      ASSERT_LT(element, n);
      ASSERT_FALSE(seen[element]) << "n " << n << ", element " << element;
      seen[element] = true;
    }
  }
}

TEST(Permutation, IsInstantAtAnySize) {
  std::set<std::uint64_t> elements;
  for (const auto n : {std::uint64_t{1} << 62, (std::uint64_t{1} << 61) + 1, std::uint64_t{1'000'000'000'007}}) {
    const Permutation permutation(n, 1, 2);
    for (std::uint64_t i = 0; i < 1000; ++i) {
      const auto element = permutation(n - 1 - i);
      ASSERT_LT(element, n);
      elements.insert(element);
    }
  }
  EXPECT_EQ(elements.size(), 3000u);
  EXPECT_THROW(Permutation(0, 1, 1), UsageError);
  EXPECT_THROW(Permutation((std::uint64_t{1} << 62) + 1, 1, 1), UsageError);
}

/// Pearson's statistic over n x n cells (element at position) less its expectation, in standard deviations.
double chi_square_excess(std::uint64_t n, int epochs) {
  std::vector<double> counts(n * n);
  for (int epoch = 0; epoch < epochs; ++epoch) {
    const Permutation permutation(n, 11, epoch);
    for (std::uint64_t i = 0; i < n; ++i) ++counts[i * n + permutation(i)];
  }
  const double expected = static_cast<double>(epochs) / static_cast<double>(n);
  double statistic = 0;
  for (const double count : counts) statistic += (count - expected) * (count - expected) / expected;
  const double freedom = static_cast<double>((n - 1) * (n - 1));
  // Rows and columns both sum to `epochs`, which scales the statistic's mean by n / (n - 1).
  return (statistic * static_cast<double>(n - 1) / static_cast<double>(n) - freedom) / std::sqrt(2 * freedom);
}

TEST(Permutation, PutsEveryElementEverywhereEquallyOften) {
  for (const std::uint64_t n : {2, 3, 4, 5, 6, 7, 10, 16, 17, 31, 64}) {
    const double excess = chi_square_excess(n, 4000);
    EXPECT_LT(std::abs(excess), 4.5) << "n " << n;
  }
}

TEST(Permutation, DrawsEveryOrderOfASmallSetEquallyOften) {
  // All 720 orders of six elements, which single positions do not tell apart.
  constexpr int kEpochs = 36000;
  std::map<std::vector<std::uint64_t>, int> orders;
  for (int epoch = 0; epoch < kEpochs; ++epoch) {
    const Permutation permutation(6, 3, epoch);
    std::vector<std::uint64_t> order(6);
    for (std::uint64_t i = 0; i < 6; ++i) order[i] = permutation(i);
    ++orders[order];
  }
  EXPECT_EQ(orders.size(), 720u);
  double statistic = 0;
  for (const auto& [order, count] : orders) statistic += (count - 50.) * (count - 50.) / 50.;
  EXPECT_LT(std::abs(statistic - 719) / std::sqrt(2 * 719.), 5);
}

double correlation(const std::vector<double>& a, const std::vector<double>& b) {
  const double n = static_cast<double>(a.size());
  const double mean = (n - 1) / 2, variance = (n * n - 1) / 12;
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - mean) * (b[i] - mean);
  return sum / n / variance;
}

TEST(Permutation, EpochsSeedsAndNeighboursAreUncorrelated) {
  constexpr std::uint64_t kSize = 10007;
  const auto order = [](std::uint64_t seed, std::uint64_t epoch) {
    const Permutation permutation(kSize, seed, epoch);
    std::vector<double> values(kSize);
    for (std::uint64_t i = 0; i < kSize; ++i) values[i] = static_cast<double>(permutation(i));
    return values;
  };
  std::vector<double> identity(kSize);
  std::iota(identity.begin(), identity.end(), 0);
  const double bound = 4.5 / std::sqrt(kSize);
  auto previous = order(0, 0);
  for (std::uint64_t epoch = 1; epoch <= 10; ++epoch) {
    auto current = order(0, epoch);
    EXPECT_LT(std::abs(correlation(previous, current)), bound);
    EXPECT_LT(std::abs(correlation(identity, current)), bound);
    EXPECT_LT(std::abs(correlation(order(epoch, 0), order(epoch + 1, 0))), bound);
    auto shifted = current;
    std::ranges::rotate(shifted, shifted.begin() + 1);
    EXPECT_LT(std::abs(correlation(current, shifted)), bound);
    previous = std::move(current);
  }
}

TEST(Sampler, RanksTakeConsecutiveSlicesOfTheSameBatch) {
  for (const int world : {1, 2, 3, 4, 12}) {
    for (std::int64_t step = 0; step < 8; ++step) {
      const auto whole = Sampler(100, 12, 7).indices(3, step);
      std::vector<std::int64_t> joined;
      for (int rank = 0; rank < world; ++rank) {
        const Sampler sampler(100, 12, 7, rank, world);
        EXPECT_EQ(sampler.steps_per_epoch(), 8);
        EXPECT_EQ(sampler.local_batch(), 12 / world);
        const auto part = sampler.indices(3, step);
        joined.insert(joined.end(), part.begin(), part.end());
      }
      EXPECT_EQ(joined, whole);
    }
  }
}

TEST(Sampler, AnEpochTakesEachSampleAtMostOnceWhateverTheBatch) {
  std::vector<std::int64_t> by_ten;
  for (std::int64_t step = 0; step < 10; ++step)
    std::ranges::copy(Sampler(103, 10, 1).indices(0, step), std::back_inserter(by_ten));
  std::vector<std::int64_t> by_fifty;
  for (std::int64_t step = 0; step < 2; ++step)
    std::ranges::copy(Sampler(103, 50, 1).indices(0, step), std::back_inserter(by_fifty));
  EXPECT_EQ(by_ten, by_fifty);
  EXPECT_EQ(std::set<std::int64_t>(by_ten.begin(), by_ten.end()).size(), 100u);
  EXPECT_NE(Sampler(103, 10, 1).indices(0, 0), Sampler(103, 10, 1).indices(1, 0));
  EXPECT_NE(Sampler(103, 10, 1).indices(0, 0), Sampler(103, 10, 2).indices(0, 0));
}

TEST(Sampler, OfABillionSamplesNeedsNoList) {
  constexpr std::int64_t kSamples = 1'000'000'000;
  const Sampler sampler(kSamples, 4096, 3, 63, 64);
  EXPECT_EQ(sampler.steps_per_epoch(), kSamples / 4096);
  std::set<std::int64_t> seen;
  for (const std::int64_t step : {std::int64_t{0}, std::int64_t{1}, sampler.steps_per_epoch() - 1})
    for (const auto index : sampler.indices(12, step)) {
      ASSERT_TRUE(index >= 0 && index < kSamples) << index;
      seen.insert(index);
    }
  EXPECT_EQ(seen.size(), 3u * 64);
}

TEST(Sampler, TakesAnOrderOfOnesOwnAndGoesBack) {
  Sampler sampler(10, 4, 1, 1, 2);
  const auto before = sampler.indices(0, 1);
  sampler.set_order({9, 9, 8, 8, 7, 7, 6, 6});
  EXPECT_EQ(sampler.indices(0, 0), (std::vector<std::int64_t>{8, 8}));
  EXPECT_EQ(sampler.indices(5, 1), (std::vector<std::int64_t>{6, 6}));
  sampler.set_order({});
  EXPECT_EQ(sampler.indices(0, 1), before);
  EXPECT_THROWS_WITH(sampler.set_order({1, 2, 3}), UsageError, "takes 8");
  EXPECT_THROWS_WITH(sampler.set_order({0, 1, 2, 3, 4, 5, 6, 10}), UsageError, "sample 10");
  EXPECT_EQ(sampler.indices(0, 1), before);
}

TEST(Sampler, NamesBatchesThatFit) {
  EXPECT_THROWS_WITH(Sampler(1000, 100, 0, 0, 8), UsageError, "use 96 or 104");
  EXPECT_THROWS_WITH(Sampler(1000, 3, 0, 0, 8), UsageError, "use 8");
  EXPECT_THROWS_WITH(Sampler(1003, 1001, 0, 0, 8), UsageError, "use 1000");
  EXPECT_THROWS_WITH(Sampler(300, 512, 0, 0, 8), UsageError, "use at most 296");
  EXPECT_THROWS_WITH(Sampler(300, 0, 0), UsageError, "batch size 0");
  EXPECT_THROWS_WITH(Sampler(3, 3, 0, 0, 4), UsageError, "fewer ranks");
  EXPECT_THROWS_WITH(Sampler(8, 4, 0, 4, 4), UsageError, "rank 4 of 4");
  EXPECT_THROWS_WITH(Sampler(8, 4, 0).indices(0, 2), UsageError, "step 2");
  EXPECT_EQ(Sampler(8, 8, 0, 7, 8).indices(0, 0).size(), 1u);
}

}  // namespace
}  // namespace unlabel::data
