#include <unlabel/augment/error.h>
#include <unlabel/data/io/parallel_for.h>

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

namespace unlabel::data {
namespace {

TEST(ParallelFor, DoesEachItemOnce) {
  for (const std::size_t threads : {1, 3, 8}) {
    std::vector<std::atomic<int>> done(1000);
    parallel_for(done.size(), threads, [&] { return [&](std::size_t i) { ++done[i]; }; });
    for (const auto& times : done) ASSERT_EQ(times, 1);
  }
  parallel_for(0, 4, [] { return [](std::size_t) { FAIL() << "there is nothing to do"; }; });
}

TEST(ParallelFor, MakesNoMoreThreadsThanThereIsWork) {
  std::atomic<int> workers = 0;
  parallel_for(3, 1'000'000, [&] {
    ++workers;
    return [](std::size_t) {};
  });
  EXPECT_LE(workers, 3);
}

TEST(ParallelFor, EndsWithWhatAnItemThrew) {
  std::atomic<int> done = 0;
  const auto run = [&] {
    parallel_for(100'000, 4, [&] {
      return [&](std::size_t i) {
        if (i == 10) throw Error("item 10");
        ++done;
      };
    });
  };
  EXPECT_THROW(run(), Error);
  EXPECT_LT(done, 100'000);
}

}  // namespace
}  // namespace unlabel::data
