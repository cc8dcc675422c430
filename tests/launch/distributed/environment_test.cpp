#include <unlabel/augment/error.h>
#include <unlabel/launch/distributed/environment.h>

#include "refusal.h"
#include <gtest/gtest.h>

#include <map>

namespace unlabel::launch::environment_test {
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

TEST(Environment, TakesThePlaceOnTheMachineFromTheLauncherAndNeverFromGlobalNumbers) {
  const std::map<std::string, std::string> ninth{
      {"RANK", "9"}, {"WORLD_SIZE", "16"}, {"MASTER_ADDR", "node0"}, {"MASTER_PORT", "29500"}};
  struct Case {
    std::map<std::string, std::string> variables;
    std::optional<int> local_rank, local_world_size;
  };
  for (const auto& [variables, local_rank, local_world_size] :
       {Case{{}, std::nullopt, std::nullopt}, Case{{{"LOCAL_RANK", "1"}, {"LOCAL_WORLD_SIZE", "8"}}, 1, 8},
        Case{{{"LOCAL_RANK", "1"}}, 1, std::nullopt},
        Case{{{"SLURM_PROCID", "9"}, {"SLURM_LOCALID", "1"}, {"SLURM_STEP_TASKS_PER_NODE", "8(x2)"}}, 1, 8},
        Case{{{"SLURM_PROCID", "9"}, {"SLURM_LOCALID", "3"}, {"SLURM_STEP_TASKS_PER_NODE", "6,10"}}, 3, std::nullopt},
        // Started by hand in a job's script, whose variables are those of the script.
        Case{{{"SLURM_PROCID", "0"}, {"SLURM_LOCALID", "0"}, {"SLURM_STEP_TASKS_PER_NODE", "1"}},
             std::nullopt,
             std::nullopt},
        Case{{{"OMPI_COMM_WORLD_RANK", "9"}, {"OMPI_COMM_WORLD_LOCAL_RANK", "5"}, {"OMPI_COMM_WORLD_LOCAL_SIZE", "6"}},
             5,
             6},
        Case{{{"PMI_RANK", "9"}, {"MPI_LOCALRANKID", "2"}, {"MPI_LOCALNRANKS", "4"}}, 2, 4},
        Case{{{"MV2_COMM_WORLD_RANK", "9"}, {"MV2_COMM_WORLD_LOCAL_RANK", "2"}, {"MV2_COMM_WORLD_LOCAL_SIZE", "4"}},
             2,
             4},
        // torchrun under Slurm: one task a node, eight ranks.
        Case{{{"LOCAL_RANK", "1"}, {"LOCAL_WORLD_SIZE", "8"}, {"SLURM_PROCID", "1"}, {"SLURM_LOCALID", "0"}}, 1, 8}}) {
    auto all = ninth;
    all.insert(variables.begin(), variables.end());
    const auto environment = read(all);
    const auto about = variables.empty() ? "no launcher" : variables.begin()->first;
    EXPECT_EQ(environment.local_rank, local_rank) << about;
    EXPECT_EQ(environment.local_world_size, local_world_size) << about;
  }
  EXPECT_EQ(read({}).local_rank, 0);
  EXPECT_EQ(read({}).local_world_size, 1);
  EXPECT_EQ(read({{"RANK", "0"}, {"WORLD_SIZE", "1"}}).local_world_size, 1);
  auto wrong = ninth;
  wrong.insert({{"LOCAL_RANK", "8"}, {"LOCAL_WORLD_SIZE", "8"}});
  EXPECT_NE(refusal(wrong).find("LOCAL_RANK is 8 but LOCAL_WORLD_SIZE is 8"), std::string::npos) << refusal(wrong);
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

GetVariable variables(std::map<std::string, std::string> values) {
  return [values = std::move(values)](const std::string& name) -> std::optional<std::string> {
    const auto found = values.find(name);
    if (found == values.end()) return std::nullopt;
    return found->second;
  };
}

Environment ranks_here(int local_world_size, const std::string& source = "environment") {
  Environment environment;
  environment.world_size = local_world_size;
  environment.local_world_size = local_world_size;
  environment.source = source;
  return environment;
}

TEST(Environment, SharesTheCoresOfAMachineAmongItsRanks) {
  const augment::Processors machine{.threads = 64, .cores = 32};
  EXPECT_EQ(default_threads(ranks_here(1), machine, false), 16);
  EXPECT_EQ(default_threads(ranks_here(8), machine, false), 8);
  EXPECT_EQ(default_threads(ranks_here(8), machine, true), 4);
  EXPECT_EQ(default_threads(ranks_here(100), machine, true), 1);
  Environment unknown;
  unknown.world_size = 8;
  EXPECT_EQ(default_threads(unknown, machine, false), 8) << "until it is counted, all ranks may be on this machine";
  // The library would take a thread a core, on every rank.
  EXPECT_EQ(arithmetic_threads(ranks_here(1), machine, 32, variables({})), 32);
  EXPECT_EQ(arithmetic_threads(ranks_here(4), machine, 32, variables({})), 8);
  EXPECT_EQ(arithmetic_threads(ranks_here(100), machine, 32, variables({})), 1);
  EXPECT_EQ(arithmetic_threads(ranks_here(1), machine, 64, variables({})), 32) << "not two threads of one core";
  EXPECT_EQ(arithmetic_threads(ranks_here(1), {.threads = 2, .cores = 2}, 32, variables({})), 2) << "a quota";
  EXPECT_EQ(arithmetic_threads(ranks_here(1), machine, 1, variables({})), 1);
  // What is asked for stays.
  EXPECT_EQ(arithmetic_threads(ranks_here(4), machine, 20, variables({{"OMP_NUM_THREADS", "20"}})), 20);
  EXPECT_EQ(arithmetic_threads(ranks_here(4), machine, 20, variables({{"MKL_NUM_THREADS", "20"}})), 20);
}

TEST(Environment, ContainersOfAMachineShareItsCoresUnlessQuotasGiveEachItsOwn) {
  const std::vector<bool> all(4, true), half{true, true, false, false};
  augment::Processors usable;
  usable.threads = 4;
  const auto one = shared_cores("boot", all, usable, "one");
  EXPECT_EQ(shared_cores("boot", all, usable, "two"), one) << "another container of the machine";
  EXPECT_NE(shared_cores("boot", half, usable, "one"), one) << "bound to other cores";
  EXPECT_NE(shared_cores("other", all, usable, "one"), one) << "another machine";
  EXPECT_NE(shared_cores("", all, usable, "one"), shared_cores("", all, usable, "two")) << "machines without a boot_id";
  usable.threads = 2;
  const auto quota = shared_cores("boot", all, usable, "one");
  EXPECT_EQ(shared_cores("boot", all, usable, "one"), quota) << "ranks of a container";
  EXPECT_NE(shared_cores("boot", all, usable, "two"), quota) << "another container, of its own quota";
}

TEST(Environment, TellsOfCoresThatTorchrunLeavesIdle) {
  const augment::Processors machine{.threads = 64, .cores = 32};
  const auto one = variables({{"OMP_NUM_THREADS", "1"}});
  EXPECT_NE(idle_cores_note(ranks_here(4, "torchrun"), machine, 1, one).find("OMP_NUM_THREADS=8"), std::string::npos);
  EXPECT_EQ(idle_cores_note(ranks_here(32, "torchrun"), machine, 1, one), "");
  EXPECT_EQ(idle_cores_note(ranks_here(4), machine, 1, one), "") << "set by hand";
  EXPECT_EQ(idle_cores_note(ranks_here(4, "torchrun"), machine, 1, variables({})), "");
  EXPECT_EQ(idle_cores_note(ranks_here(4, "torchrun"), machine, 8, variables({{"OMP_NUM_THREADS", "8"}})), "");
}

}  // namespace
}  // namespace unlabel::launch::environment_test
