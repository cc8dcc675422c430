#include <unlabel/augment/error.h>
#include <unlabel/launch/environment.h>

#include "../refusal.h"
#include <gtest/gtest.h>

#include <map>

namespace unlabel::launch {
namespace {

Environment read(std::map<std::string, std::string> variables) {
  return read_environment([&](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  });
}

std::string refusal(const std::map<std::string, std::string>& variables) {
  return unlabel::refusal([&] { read(variables); });
}

TEST(Environment, IsSingleWithoutVariables) {
  const auto environment = read({{"MASTER_ADDR", "somewhere"}, {"SLURM_PROCID", "3"}});
  EXPECT_EQ(environment.world_size, 1);
  EXPECT_EQ(environment.rank, 0);
  EXPECT_EQ(environment.source, "single");
}

TEST(Environment, ReadsTorchrunAndPlainVariables) {
  std::map<std::string, std::string> variables{
      {"RANK", "5"}, {"WORLD_SIZE", "8"}, {"LOCAL_RANK", "1"}, {"MASTER_ADDR", "node0"}, {"MASTER_PORT", "29500"}};
  auto environment = read(variables);
  EXPECT_EQ(environment.rank, 5);
  EXPECT_EQ(environment.world_size, 8);
  EXPECT_EQ(environment.local_rank, 1);
  EXPECT_EQ(environment.master_address, "node0");
  EXPECT_EQ(environment.master_port, 29500);
  EXPECT_FALSE(environment.agent_store);
  EXPECT_EQ(environment.source, "environment");
  variables["TORCHELASTIC_USE_AGENT_STORE"] = "True";
  environment = read(variables);
  EXPECT_TRUE(environment.agent_store);
  EXPECT_EQ(environment.source, "torchrun");
  EXPECT_EQ(environment.attempt, 0);
  variables["TORCHELASTIC_RESTART_COUNT"] = "2";
  EXPECT_EQ(read(variables).attempt, 2);
}

TEST(Environment, RefusesWhatIsPartialOrContradictory) {
  EXPECT_NE(refusal({{"RANK", "0"}, {"WORLD_SIZE", "2"}}).find("MASTER_ADDR, MASTER_PORT missing"), std::string::npos);
  EXPECT_NE(refusal({{"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "1"}}).find("RANK missing"),
            std::string::npos);
  const std::map<std::string, std::string> base{{"MASTER_ADDR", "a"}, {"MASTER_PORT", "1"}};
  auto with = [&](std::map<std::string, std::string> more) {
    more.insert(base.begin(), base.end());
    return more;
  };
  EXPECT_NE(refusal(with({{"RANK", "2"}, {"WORLD_SIZE", "2"}})).find("RANK is 2 but WORLD_SIZE is 2"),
            std::string::npos);
  EXPECT_NE(refusal(with({{"RANK", "-1"}, {"WORLD_SIZE", "2"}})).find("RANK is '-1'"), std::string::npos);
  EXPECT_NE(refusal(with({{"RANK", "1x"}, {"WORLD_SIZE", "2"}})).find("'1x'"), std::string::npos);
  EXPECT_NE(refusal({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "70000"}})
                .find("MASTER_PORT is '70000'"),
            std::string::npos);
}

}  // namespace
}  // namespace unlabel::launch
