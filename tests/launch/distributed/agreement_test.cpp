#include <unlabel/augment/error.h>
#include <unlabel/launch/distributed/agreement.h>

#include "refusal.h"
#include "ssl/thread_group.h"
#include <gtest/gtest.h>

namespace unlabel::launch {
namespace {

using nlohmann::json;

/// What each of two ranks is told when they hold these values; empty: nothing.
std::vector<std::string> told(const std::vector<SharedValue>& first, const std::vector<SharedValue>& second) {
  std::vector<std::string> messages(2);
  ssl::testing::run_ranks(2, [&](std::shared_ptr<const ssl::Group> group) {
    try {
      require_equal_on_all_ranks(*group, group->rank() == 0 ? first : second);
    } catch (const MismatchError& error) {
      messages[static_cast<std::size_t>(group->rank())] = error.what();
    }
  });
  return messages;
}

TEST(Agreement, EqualRanksGoOn) {
  const std::vector<SharedValue> all{same_program(), {"other settings", {{"k", 20}, {"list", json::array()}}, "x"}};
  EXPECT_EQ(told(all, all), (std::vector<std::string>{"", ""}));
  EXPECT_NO_THROW(require_equal_on_all_ranks(*ssl::single_process(), all));
}

TEST(Agreement, EveryRankIsToldBothValues) {
  const auto settings = [](json value) {
    return std::vector<SharedValue>{{"other settings", std::move(value), "mend it"}};
  };
  const auto expect = [&](const json& first, const json& second, const std::string& difference) {
    const auto message = "rank 1 has other settings than rank 0: " + difference + "; mend it";
    EXPECT_EQ(told(settings(first), settings(second)), (std::vector<std::string>{message, message}));
  };
  expect({{"k", 20}, {"swav", {{"lr", 0.3}}}}, {{"k", 5}, {"swav", {{"lr", 0.1}}}},
         "k 5 and not 20, swav.lr 0.1 and not 0.3");
  // A field that only one of them has differs too, whichever has it.
  expect({{"k", 20}}, json::object(), "k null and not 20");
  expect(json::object(), {{"k", 20}}, "k 20 and not null");
  expect("abc", "abd", "\"abd\" and not \"abc\"");
  // Bytes that are no UTF-8, as in paths.
  expect("a\xff", "a", "\"a\" and not \"a\xef\xbf\xbd\"");
}

TEST(Agreement, TheFirstDifferenceIsTold) {
  const auto messages =
      told({{"program", "1", "a"}, {"other weights", 3, "b"}}, {{"program", "1", "a"}, {"other weights", 4, "b"}});
  EXPECT_EQ(messages[0], "rank 1 has other weights than rank 0: 4 and not 3; b");
  // Other commands have other things to agree on: fewer, more, or of other names.
  const std::string other = "rank 1 runs another command than rank 0; start all ranks with the same one";
  const std::vector<SharedValue> two{{"program", "1", "a"}, {"other weights", 3, "b"}}, one{{"program", "1", "a"}},
      data{{"program", "1", "a"}, {"other data", 3, "b"}};
  EXPECT_EQ(told(two, one), (std::vector<std::string>{other, other}));
  EXPECT_EQ(told(one, two), (std::vector<std::string>{other, other}));
  EXPECT_EQ(told(two, data), (std::vector<std::string>{other, other}));
}

}  // namespace
}  // namespace unlabel::launch
