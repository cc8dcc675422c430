#include "ssl/thread_group.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <atomic>

namespace unlabel::ssl::testing {
namespace {

TEST(ThreadGroup, CollectivesCombineAllRanks) {
  run_ranks(3, [](std::shared_ptr<const Group> group) {
    const int rank = group->rank();
    EXPECT_EQ(group->world_size(), 3);
    for (int round = 0; round < 50; ++round) {
      auto sum = torch::full({2}, double(rank + round), torch::kFloat64);
      group->all_reduce_sum(sum);
      EXPECT_EQ(sum[1].item<double>(), 3 + 3 * round);
      auto max = torch::full({1}, rank);
      group->all_reduce_max(max);
      EXPECT_EQ(max.item<int>(), 2);
      auto sent = torch::full({1}, rank);
      group->broadcast(sent, 1);
      EXPECT_EQ(sent.item<int>(), 1);
      EXPECT_TRUE(group->all_gather(torch::full({1}, rank)).equal(torch::arange(3)));
      group->barrier();
    }
  });
}

TEST(ThreadGroup, SubgroupsAreConsecutive) {
  run_ranks(4, [](std::shared_ptr<const Group> group) {
    const auto pair = group->subgroup(2);
    EXPECT_EQ(pair->world_size(), 2);
    EXPECT_EQ(pair->rank(), group->rank() % 2);
    auto sum = torch::full({1}, group->rank());
    pair->all_reduce_sum(sum);
    EXPECT_EQ(sum.item<int>(), group->rank() < 2 ? 1 : 5);
    EXPECT_EQ(group->subgroup(0)->world_size(), 4);
    EXPECT_EQ(group->subgroup(1)->world_size(), 1);
    EXPECT_THROW(group->subgroup(3), UsageError);
  });
}

TEST(ThreadGroup, AFailingRankFreesTheOthers) {
  std::atomic<int> freed{0};
  const auto body = [&](std::shared_ptr<const Group> group) {
    if (group->rank() == 1) throw UsageError("rank 1 has had enough");
    try {
      group->subgroup(2)->barrier();
    } catch (const Error&) {
      ++freed;
      throw;
    }
  };
  EXPECT_THROW(run_ranks(4, body), UsageError);
  EXPECT_EQ(freed, 3);
}

TEST(ThreadGroup, DifferentCollectivesAreAnErrorNotAHang) {
  EXPECT_THROW(run_ranks(2,
                         [](std::shared_ptr<const Group> group) {
                           auto tensor = torch::zeros({2 + group->rank()});
                           group->all_reduce_sum(tensor);
                         }),
               Error);
}

}  // namespace
}  // namespace unlabel::ssl::testing
