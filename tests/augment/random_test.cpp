#include <unlabel/augment/random.h>

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <set>
#include <vector>

namespace unlabel::augment {
namespace {

// The known-answer vectors that Random123 ships for philox4x32 with ten rounds (kat_vectors).
TEST(Philox, AgreesWithRandom123) {
  using Block = std::array<std::uint32_t, 4>;
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, IsAFunctionOfItsKey) {
  const ViewKey key{7, 3, 12345678901, 2};
  Random a(key), b(key);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(a.next(), b.next());
  std::set<std::uint32_t> firsts{Random(key).next()};
  for (auto change : {ViewKey{8, 3, 12345678901, 2}, ViewKey{7, 4, 12345678901, 2}, ViewKey{7, 3, 12345678902, 2},
                      ViewKey{7, 3, 12345678901, 3}, ViewKey{7, 3, 12345678901 + (1ull << 32), 2},
                      ViewKey{7 + (1ull << 32), 3, 12345678901, 2}})
    EXPECT_TRUE(firsts.insert(Random(change).next()).second);
}

TEST(Random, UniformCoversTheUnitIntervalEvenly) {
  Random random({1, 0, 0, 0});
  std::array<int, 10> bins{};
  double sum = 0;
  constexpr int kDraws = 100000;
  for (int i = 0; i < kDraws; ++i) {
    const double u = random.uniform();
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    ++bins[static_cast<int>(u * 10)];
    sum += u;
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 0.005);
  for (int bin : bins) EXPECT_NEAR(bin, kDraws / 10, 400);
}

TEST(Random, BelowIsUnbiasedAndShuffleReachesEveryOrder) {
  Random random({2, 0, 0, 0});
  std::array<int, 6> counts{};
  for (int i = 0; i < 60000; ++i) ++counts[random.below(6)];
  for (int count : counts) EXPECT_NEAR(count, 10000, 400);
  std::set<std::vector<std::uint8_t>> orders;
  for (int i = 0; i < 1000; ++i) {
    std::vector<std::uint8_t> values{0, 1, 2, 3};
    random.shuffle(values);
    orders.insert(values);
  }
  EXPECT_EQ(orders.size(), 24u);
}

}  // namespace
}  // namespace unlabel::augment
