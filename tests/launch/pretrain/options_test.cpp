#include <unlabel/data/io/atomic_file.h>
#include <unlabel/launch/command_line.h>
#include <unlabel/launch/pretrain/pretrain_options.h>
#include <unlabel/ssl/methods.h>
#include <unlabel/ssl/methods/swav.h>

#include "launch/pretrain/pretrain_case.h"
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <string>
#include <utility>
#include <vector>

// What settings a run has, where they come from, and which are refused.

namespace unlabel::launch {
namespace {

namespace fs = std::filesystem;

class CiPretrainOptions : public PretrainCase {};

TEST_F(CiPretrainOptions, HelpOfAMethodIsAboutThatOne) {
  const auto all = unlabel({"pretrain", "--help"}).out, one = unlabel({"pretrain", "moco", "--help"}).out;
  for (const auto& method : ssl::method_names()) {
    const auto section = "\n" + method + ":\n";
    EXPECT_NE(all.find(section), std::string::npos) << method;
    EXPECT_EQ(one.find(section) != std::string::npos, method == "moco") << method;
  }
  EXPECT_NE(one.find("moco_v2_200ep"), std::string::npos);
  EXPECT_EQ(one.find("swav_400ep"), std::string::npos);
  EXPECT_NE(all.find("swav_400ep"), std::string::npos);
}

TEST_F(CiPretrainOptions, PlansForAFolderWithoutARecipe) {
  const auto outcome = unlabel({"pretrain", "swav", "--data", data(), "--out", out("planned"), "--max-steps", "1"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto config = nlohmann::json::parse(read_bytes(out("planned/config.json")));
  EXPECT_LE(config.at("augment").at("global_size").get<int>(), 20);
  EXPECT_EQ(config.at("encoder").at("stem"), "small");
  EXPECT_LE(config.at("swav").at("prototypes").get<int>(), 64);
  EXPECT_NE(outcome.err.find("--swav.prototypes"), std::string::npos) << "reasons are told: " << outcome.err;
}

TEST_F(CiPretrainOptions, APlanStandsOnceTheRunHasBegun) {
  // As if an older planner had chosen 77 prototypes.
  const std::string step = out("planned-before") + "/checkpoints/step-00000001";
  fs::create_directories(step);
  std::ofstream(step + "/manifest.json") << "{}";
  std::ofstream(step + "/training.json") << R"({"iteration": 1, "options": {"swav": {"prototypes": 77}, "epochs": 5},
      "data": {"description": "64 images", "images": 64, "fingerprint": "0"}})";
  const auto resolve = [&](const Arguments& more) {
    PretrainOptions defaults;
    const CommandSpec spec{"", "", {"method"}, ""};
    return resolve_options(parse_command_line(
        Arguments{"swav", "--data", data(), "--out", out("planned-before")} + more, table(defaults), spec));
  };
  const auto kept = resolve({});
  EXPECT_EQ(kept.options.methods.get<ssl::SwavOptions>("swav").prototypes, 77);
  EXPECT_EQ(kept.options.epochs, 5);
  const auto prototypes = std::ranges::find(kept.choices, "swav.prototypes", &ssl::PlannedSetting::setting);
  ASSERT_NE(prototypes, kept.choices.end());
  EXPECT_EQ(prototypes->value, 77);
  EXPECT_EQ(prototypes->reason, "as planned when this run began");
  for (const auto& warning : kept.warnings)
    EXPECT_EQ(warning.find("--init"), std::string::npos) << "it starts from its own weights: " << warning;
  EXPECT_EQ(resolve({"--swav.prototypes", "9"}).options.methods.get<ssl::SwavOptions>("swav").prototypes, 9)
      << "then the checkpoint refuses";
}

TEST_F(CiPretrainOptions, ExplainsItsSettingsBesideThePapers) {
  auto outcome = unlabel({"pretrain", "swav", "--data", data(), "--explain", "--batch-size", "16"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto line = [&](const std::string& setting) {
    const auto begin = outcome.out.find("\n--" + setting + " ") + 1;
    return begin == 0 ? "no --" + setting : outcome.out.substr(begin, outcome.out.find('\n', begin) - begin);
  };
  EXPECT_TRUE(std::regex_match(line("batch-size"), std::regex("--batch-size +16 +4096 +command line")))
      << line("batch-size");
  EXPECT_TRUE(
      std::regex_match(line("augment.global-size"), std::regex(R"(--augment.global-size +20 +224 +plan +half of .*)")))
      << line("augment.global-size");
  EXPECT_TRUE(std::regex_match(line("swav.prototypes"), std::regex("--swav.prototypes +16 +3000 +plan +few images.*")))
      << line("swav.prototypes");
  EXPECT_TRUE(
      std::regex_match(line("swav.epsilon"), std::regex("--swav.epsilon +0.03 +0.05 +plan +for 16 prototypes.*")))
      << line("swav.epsilon");
  EXPECT_TRUE(
      std::regex_match(line("augment.global-count"), std::regex("--augment.global-count +2 +2 +plan +the paper's.*")))
      << line("augment.global-count");
  EXPECT_NE(outcome.out.find("paper (swav_800ep)"), std::string::npos);
  EXPECT_NE(outcome.out.find("warning: only 64 images"), std::string::npos);
  for (const auto& method : ssl::methods()) {
    outcome = unlabel({"pretrain", method.name, "--data", data(), "--explain"});
    EXPECT_EQ(outcome.exit_code, 0) << method.name << ": " << outcome.err;
    EXPECT_NE(outcome.out.find("paper (" + method.plan.paper + ")"), std::string::npos) << method.name;
  }
  outcome =
      unlabel({"pretrain", "swav", "--data", data(), "--recipe", "cifar10_small", "--batch-size", "16", "--explain"});
  EXPECT_TRUE(
      std::regex_match(line("swav.prototypes"), std::regex("--swav.prototypes +512 +3000 +recipe cifar10_small")))
      << line("swav.prototypes") << outcome.err;
  // It refuses what a run refuses, which leaves nothing behind, and has JSON.
  const Arguments too_small{"pretrain",
                            "byol",
                            "--data",
                            data(),
                            "--encoder.arch",
                            "alexnet",
                            "--encoder.width",
                            "1",
                            "--augment.global-size",
                            "32",
                            "--out",
                            out("too-small")};
  for (const auto& more : {Arguments{"--explain"}, Arguments{}}) {
    outcome = unlabel(too_small + more);
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_NE(outcome.err.find("AlexNet takes images of 224 x 224 pixels, not 32 x 32"), std::string::npos)
        << outcome.err;
    EXPECT_FALSE(std::filesystem::exists(out("too-small")));
  }
  outcome = unlabel({"pretrain", "byol", "--data", data(), "--explain", "--augment.preset", "deepcluster"});
  EXPECT_EQ(outcome.exit_code, 2) << outcome.out;
  EXPECT_NE(outcome.err.find("two views"), std::string::npos) << outcome.err;
  outcome = unlabel({"pretrain", "swav", "--data", data(), "--explain", "--batch-size", "65"});
  EXPECT_EQ(outcome.exit_code, 2) << outcome.out;
  // Images on other ranks count, as they will in the run.
  for (const auto& [ranks, code] : {std::pair("1", 2), std::pair("2", 0)})
    for (const char* method : {"simclr", "byol", "moco"}) {
      outcome = unlabel({"pretrain", method, "--data", data(), "--explain", "--batch-size", "16", "--micro-batch",
                         std::string(method) == "moco" ? "8" : "1"},
                        {{"RANK", "0"}, {"WORLD_SIZE", ranks}, {"MASTER_ADDR", "127.0.0.1"}, {"MASTER_PORT", "29500"}});
      EXPECT_EQ(outcome.exit_code, std::string(method) == "moco" ? 0 : code) << method << outcome.err;
    }
  outcome = unlabel({"pretrain", "swav", "--data", data(), "--explain", "--json", "-"});
  const auto explained = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(explained.at("paper"), "swav_800ep");
  EXPECT_FALSE(explained.at("settings").empty());
}

TEST_F(CiPretrainOptions, ExplainsWhichLayerDecidesEachSetting) {
  const auto explained = [&](const Arguments& more) {
    const auto outcome = unlabel(Arguments{"pretrain", "swav", "--data", data(), "--explain", "--json", "-"} + more);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    std::map<std::string, std::pair<std::string, std::string>> found;  // layer and why
    const auto json = nlohmann::json::parse(outcome.out);
    const auto text = [](const nlohmann::json& item, const char* key) { return item.at(key).get<std::string>(); };
    for (const auto& item : json.at("settings"))
      found[text(item, "setting")] = {text(item, "layer"), text(item, "why")};
    return found;
  };
  using Decided = std::pair<std::string, std::string>;
  const auto weights = out("layers-weights"), run = out("layers-run"), recipe = out("layers.json");
  ASSERT_EQ(unlabel(small_run(data(), weights) + Arguments{"--max-steps", "1"}).exit_code, 0);
  std::ofstream(recipe) << R"({"method": "swav", "batch_size": 16, "epochs": 2, "swav.prototypes": 24,
                               "augment": {"global_size": 16, "local_count": 0}})";

  auto planned = explained({"--init", weights, "--batch-size", "16"});
  EXPECT_EQ(planned["batch_size"], (Decided{"command line", "given"}));
  EXPECT_EQ(planned["init"], (Decided{"command line", "given"}));
  EXPECT_EQ(planned["encoder.width"], (Decided{"weights of --init", "as the weights of --init have it"}));
  EXPECT_EQ(planned["swav.prototypes"].first, "plan");
  EXPECT_EQ(planned["precision"].first, "plan");
  EXPECT_TRUE(planned["precision"].second.starts_with("auto: ")) << planned["precision"].second;
  EXPECT_EQ(planned["swav.temperature"], (Decided{"default", "the paper's"}));
  EXPECT_EQ(planned.count("health.nonfinite_budget"), 0u) << "nobody says anything of it";

  const Arguments of_recipe{"--recipe", recipe, "--out", run, "--swav.epsilon", "0.04"};
  auto from = explained(of_recipe + Arguments{"--init", weights});
  EXPECT_EQ(from["swav.prototypes"], (Decided{"recipe " + recipe, "from the recipe " + recipe}));
  EXPECT_EQ(from["encoder.width"], (Decided{"weights of --init", "from the weights of --init"}));
  EXPECT_EQ(from["swav.epsilon"], (Decided{"command line", "given"}));
  EXPECT_EQ(from["swav.temperature"], (Decided{"default", "the paper's"}));
  ASSERT_EQ(unlabel(Arguments{"pretrain", "swav", "--data", data(), "--max-steps", "1", "--decode.max-pixels", "5000"} +
                    of_recipe + Arguments{"--init", weights})
                .exit_code,
            0);
  from = explained(of_recipe + Arguments{"--init", out("none")});
  for (const char* kept : {"encoder.width", "decode.max_pixels", "init"})
    EXPECT_EQ(from[kept], (Decided{"checkpoint", "from the checkpoint"})) << kept;
  EXPECT_EQ(from["swav.prototypes"].first, "recipe " + recipe);
  EXPECT_EQ(from["swav.epsilon"].first, "command line");

  ASSERT_EQ(unlabel({"pretrain", "swav", "--data", data(), "--out", out("layers-planned"), "--max-steps", "1",
                     "--swav.prototypes", "9"})
                .exit_code,
            0);
  planned = explained({"--out", out("layers-planned"), "--swav.epsilon", "0.07"});
  EXPECT_EQ(planned["swav.prototypes"], (Decided{"checkpoint", "as planned when this run began"}));
  EXPECT_EQ(planned["augment.global_size"].first, "checkpoint");
  EXPECT_EQ(planned["swav.epsilon"].first, "command line");
  EXPECT_EQ(planned.count("micro_batch") + planned.count("seed"), 0u) << "equal to the default";
}

TEST_F(CiPretrainOptions, NamesTheLayerOfAWrongValue) {
  const auto message = [&](const Arguments& more) {
    const auto outcome = unlabel(Arguments{"pretrain", "swav", "--data", data(), "--explain"} + more);
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
    EXPECT_TRUE(outcome.one_line()) << outcome.err;
    return outcome.err;
  };
  const auto recipe = out("wrong-value.json"), run = out("wrong-checkpoint");
  std::ofstream(recipe) << R"({"method": "swav", "swav": {"epsilon": "small"}})";
  const std::string step = run + "/checkpoints/step-00000001";
  fs::create_directories(step);
  std::ofstream(step + "/manifest.json") << "{}";
  std::ofstream(step + "/training.json") << R"({"iteration": 1, "options": {"swav": {"epsilon": "small"}},
      "data": {"description": "64 images", "images": 64, "fingerprint": "0"}})";
  EXPECT_NE(message({"--swav.epsilon", "small"}).find(R"(--swav.epsilon: 'swav.epsilon' takes number, not "small")"),
            std::string::npos);
  EXPECT_NE(message({"--recipe", recipe}).find("recipe " + recipe + R"(: 'swav.epsilon' takes number, not "small")"),
            std::string::npos);
  EXPECT_NE(message({"--out", run}).find(R"(the checkpoint: 'swav.epsilon' takes number, not "small")"),
            std::string::npos);
}

TEST_F(CiPretrainOptions, WarnsOfWhatCannotWorkWithARecipeToo) {
  const auto outcome = unlabel({"pretrain", "swav", "--data", data(), "--out", out("warned"), "--recipe",
                                "cifar10_small", "--batch-size", "16", "--max-steps", "1"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("warning: 512 prototypes for 64 images"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("warning: crops of 32 pixels"), std::string::npos) << outcome.err;
}

TEST_F(CiPretrainOptions, TheWeightsOfInitContradictARecipe) {
  ASSERT_EQ(unlabel(small_run(data(), out("contradicts")) + Arguments{"--max-steps", "1"}).exit_code, 0);
  const auto outcome = unlabel({"pretrain", "swav", "--data", data(), "--out", out("not-made"), "--recipe",
                                "swav_200ep", "--init", out("contradicts")});
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_NE(outcome.err.find("the recipe has it: give --encoder.arch resnet18"), std::string::npos) << outcome.err;
}

TEST_F(CiPretrainOptions, GoesOnWithWhatItBeganWith) {
  Arguments first{"pretrain", "swav", "--data", data(), "--out", out("began"), "--threads", "0", "--max-steps"};
  const Arguments settings{"--encoder.width", "8", "--batch-size", "16", "--epochs", "2", "--swav.prototypes", "24"};
  ASSERT_EQ(unlabel(first + Arguments{"2", "--decode.max-pixels", "5000"} + settings).exit_code, 0);
  const auto largest = [&] {
    return nlohmann::json::parse(read_bytes(out("began/config.json"))).at("decode").at("max_pixels").get<int>();
  };
  auto outcome = unlabel(first + Arguments{"3"});  // without them
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(largest(), 5000);
  outcome = unlabel(first + Arguments{"4", "--decode.max-pixels", "4000"});  // the way out of too little memory
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(largest(), 4000);
  const auto recipe = out("recipe.json");
  std::ofstream(recipe)
      << R"({"method": "swav", "encoder": {"width": 8}, "batch_size": 16, "epochs": 2, "swav": {"prototypes": 24},
                               "augment": {"global_size": 16, "local_count": 0}})";
  const Arguments of_recipe{"pretrain",        "swav",     "--data", data(),       "--out",
                            out("recipe-run"), "--recipe", recipe,   "--max-steps"};
  for (const auto& more : {Arguments{"1", "--decode.max-pixels", "5000"}, Arguments{"2"}}) {
    outcome = unlabel(of_recipe + more);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    const auto config = nlohmann::json::parse(read_bytes(out("recipe-run/config.json")));
    EXPECT_EQ(config.at("decode").at("max_pixels"), 5000);
  }
  // What it began from stays on record, with a recipe that says nothing of the network too.
  const auto weights = out("began/checkpoints"), bare = out("bare.json");
  std::ofstream(bare) << R"({"method": "swav", "batch_size": 16, "epochs": 2, "swav": {"prototypes": 24}, "init": ""})";
  for (const auto& by : {settings, Arguments{"--recipe", bare}}) {
    const auto run = out("from-began") + std::to_string(by.size());
    const Arguments from{"pretrain", "swav", "--data", data(), "--out", run, "--threads", "0", "--max-steps"};
    const auto rest = by == settings ? Arguments{} : by;
    for (const auto& more : {Arguments{"1", "--init", weights} + by, Arguments{"2"} + rest,
                             Arguments{"3", "--init", out("recipe-run")} + rest}) {
      outcome = unlabel(from + more);
      EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
      EXPECT_EQ(nlohmann::json::parse(read_bytes(run + "/config.json")).at("init"), weights);
    }
    EXPECT_NE(outcome.err.find("is not used: the run in " + run + " goes on, and began from " + weights),
              std::string::npos)
        << outcome.err;
    // The same file by another name is the same; a partial load cannot be asked for any more.
    outcome = unlabel(from + Arguments{"4", "--init", out("began/../began/checkpoints"), "--init-partial"} + rest);
    EXPECT_EQ(outcome.err.find("--init " + out("began/..")), std::string::npos) << outcome.err;
    EXPECT_NE(outcome.err.find("--init-partial is not used: the run in " + run + " goes on, and began from " + weights),
              std::string::npos)
        << outcome.err;
  }
  outcome = unlabel(first + Arguments{"4", "--decode.strict", "true"});
  EXPECT_EQ(outcome.exit_code, 93) << outcome.err;
  outcome = unlabel(first + Arguments{"4", "--encoder.width", "16"});
  EXPECT_EQ(outcome.exit_code, 93);
  EXPECT_NE(outcome.err.find("encoder.width was 8 and is 16; use"), std::string::npos) << outcome.err;
  const auto config = nlohmann::json::parse(read_bytes(out("began/config.json")));
  EXPECT_EQ(config.at("encoder").at("width"), 8);
  EXPECT_EQ(config.at("swav").at("prototypes"), 24);
}

TEST_F(CiPretrainOptions, RefusesToGoOnWithOtherSettingsOrData) {
  ASSERT_EQ(unlabel(small_run(data(), out("other")) + Arguments{"--max-steps", "2"}).exit_code, 0);
  auto outcome = unlabel(small_run(data(), out("other")) + Arguments{"--max-steps", "4", "--swav.epsilon", "0.07"});
  EXPECT_EQ(outcome.exit_code, 93);
  EXPECT_NE(outcome.err.find("swav.epsilon was 0.03 and is 0.07"), std::string::npos) << outcome.err;
  EXPECT_TRUE(outcome.one_line()) << outcome.err;
  make_images(out("fewer"), 60, 20, 4);
  outcome = unlabel(small_run(out("fewer"), out("other")) + Arguments{"--max-steps", "4"});
  EXPECT_EQ(outcome.exit_code, 93);
  EXPECT_NE(outcome.err.find("the data has changed since the checkpoint"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("4 files are gone (class0/00060.png ...)"), std::string::npos) << outcome.err;
}

TEST_F(CiPretrainOptions, RanksMustHaveTheSameDataAndSettings) {
  make_images(out("other-node"), 64, 20, 4);
  fs::remove(out("other-node/class3/00063.png"));
  const auto refused = [&](const std::string& name, const Arguments& second, const std::string& says) {
    for (const auto& rank : start_ranks({small_run(data(), out(name)), second})) {
      const auto outcome = rank->wait();
      EXPECT_EQ(outcome.exit_code, 93) << outcome.err;
      EXPECT_NE(outcome.err.find(says), std::string::npos) << outcome.err;
      EXPECT_TRUE(outcome.one_line()) << outcome.err;
    }
    EXPECT_FALSE(fs::exists(out(name) + "/config.json")) << "nothing is left behind";
  };
  refused("ranks-data", small_run(out("other-node"), out("ranks-data")),
          "rank 1: the data differ from rank 0's: " + out("other-node") + "/class3/00063.png is missing");
  refused("ranks-settings", with(small_run(data(), out("ranks-settings")), {{"--swav.epsilon", "0.07"}}),
          "rank 1 has other settings than rank 0: swav.epsilon 0.07 and not 0.03");
}

TEST_F(CiPretrainOptions, OnlyOneRankThatMeasuresOrHasWeightsIsOtherSettings) {
  const auto run = small_run(data(), out("of-one"));
  ASSERT_EQ(unlabel(small_run(data(), out("weights-of-one")) + Arguments{"--max-steps", "1"}).exit_code, 0);
  for (const auto& [more, says] :
       {std::pair{Arguments{"--knn.every", "1"}, "knn.every 1 and not 0"},
        {Arguments{"--init", out("weights-of-one")}, R"(--init "given" and not "not given")"},
        {Arguments{"--recipe", "cifar10_small"}, R"(--recipe "given" and not "not given")"},
        // What that rank alone could not run with.
        {Arguments{"--micro-batch", "3"}, "micro_batch 3 and not 0"},
        {Arguments{"--schedule.kind", "step"}, R"(schedule.kind "step" and not "cosine")"}})
    for (const auto& rank : start_ranks({run, run + more})) {
      const auto outcome = rank->wait();
      EXPECT_EQ(outcome.exit_code, 93) << outcome.err;
      EXPECT_NE(outcome.err.find(std::string("rank 1 has other settings than rank 0: ") + says), std::string::npos)
          << outcome.err;
    }
}

TEST_F(CiPretrainOptions, RefusesABatchThatTheRanksCannotShare) {
  for (const auto& outcome : unlabel_ranks(2, with(small_run(data(), out("odd")), {{"--batch-size", "15"}}))) {
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
    EXPECT_TRUE(outcome.one_line()) << outcome.err;
  }
  EXPECT_FALSE(fs::exists(out("odd")));
}

struct WrongUse {
  const char* name;
  Arguments arguments;
  int code;
  const char* says;
};

TEST_F(CiPretrainOptions, MeetsWrongUseKindlyAndWritesNothing) {
  fs::create_directories(out("empty"));
  data::write_file(out("none.safetensors"), "no weights at all");
  const std::string none = out("must-not-appear");
  const Arguments base{"pretrain", "swav", "--data", data(), "--out", none, "--max-steps", "1"};
  const std::vector<WrongUse> cases{
      {"no command", {}, 2, "usage:"},
      {"unknown command", {"pretrian"}, 2, "did you mean 'pretrain'"},
      {"no method", {"pretrain"}, 2, "which method"},
      {"another method's option", base + Arguments{"--moco.momentum", "0.5"}, 2, "is an option of moco"},
      {"micro-batch, looked at", base + Arguments{"--explain", "--batch-size", "16", "--micro-batch", "3"}, 2,
       "divide"},
      {"a rate that no run can have, explained", base + Arguments{"--optimizer.lr", "-1", "--explain"}, 2, "lr"},
      {"a backend that does not fit, explained", base + Arguments{"--backend", "mpi", "--explain"}, 2, "mpi"},
      {"no time to wait, explained", base + Arguments{"--timeout", "0", "--explain"}, 2,
       "--timeout must be at least 1"},
      {"no such protocol, explained", base + Arguments{"--knn.every", "1", "--knn.protocol", "dina", "--explain"}, 2,
       "dina"},
      {"a measurement of nothing, explained",
       base + Arguments{"--knn.every", "1", "--knn.test-images", "0", "--explain"}, 2,
       "at least 1 training and 1 test"},
      {"no such optimizer", base + Arguments{"--optimizer.kind", "adam"}, 2, "did you mean 'adamw'"},
      {"steps without an epoch", base + Arguments{"--schedule.kind", "step"}, 2, "schedule.milestones"},
      {"more broken than all", base + Arguments{"--health.broken-budget", "2"}, 2, "up to 1"},
      {"no network", base + Arguments{"--swav.projection-dim", "-3"}, 2, "swav"},
      {"unknown method", {"pretrain", "swaw", "--data", data(), "--out", none}, 2, "did you mean 'swav'"},
      {"no data", {"pretrain", "swav", "--out", none}, 2, "--data"},
      {"no out", {"pretrain", "swav", "--data", data()}, 2, "--out"},
      {"missing folder", {"pretrain", "swav", "--data", out("nowhere"), "--out", none}, 2, "nowhere"},
      {"empty folder", {"pretrain", "swav", "--data", out("empty"), "--out", none}, 2, "empty"},
      {"unknown option", base + Arguments{"--batchsize", "4"}, 2, "did you mean 'batch-size'"},
      {"wrong type", base + Arguments{"--batch-size", "four"}, 2, "batch-size"},
      {"unknown recipe", base + Arguments{"--recipe", "swav_20ep"}, 2, "swav_200ep"},
      {"batch larger than the data", base + Arguments{"--batch-size", "65"}, 2, "65"},
      {"indivisible micro-batch", base + Arguments{"--batch-size", "8", "--micro-batch", "3"}, 2, "--micro-batch"},
      {"fewer crops than the method compares",
       base + Arguments{"--augment.global-count", "1", "--augment.local-count", "0"}, 2, "--augment.global-count"},
      {"a local crop as a target",
       base + Arguments{"--augment.global-count", "1", "--augment.local-count", "6", "--augment.local-size", "8"}, 2,
       "--augment.global-count"},
      {"an optimizer without its rate", base + Arguments{"--optimizer.kind", "adamw"}, 2, "--optimizer.lr"},
      {"statistics of -1 images", base + Arguments{"--batch-norm-images", "-1"}, 2, "--batch-norm-images"},
      {"uncountable epochs", base + Arguments{"--epochs", "9223372036854775807"}, 2, "--epochs"},
      {"unknown precision", base + Arguments{"--precision", "int8"}, 2, "int8"},
      {"unknown architecture", base + Arguments{"--encoder.arch", "resnet19"}, 2, "resnet18"},
      {"missing weights", base + Arguments{"--init", out("nowhere.safetensors")}, 2, "nowhere.safetensors"},
      {"weights that are none", base + Arguments{"--init", out("none.safetensors")}, 2, "none.safetensors"},
      {"GPU that is not there", base + Arguments{"--device", "cuda:77"}, 2, "cuda:77"},
      {"backend that does not fit", base + Arguments{"--backend", "mpi"}, 2, "mpi"},
      {"a run among the images", {"pretrain", "swav", "--data", data(), "--out", data()}, 2, "a folder of its own"},
      {"a place for JSON that is not there", base + Arguments{"--json", out("nowhere/x.json")}, 2, "create it first"},
      {"channels that the views lack", base + Arguments{"--encoder.in-channels", "1"}, 2, "--encoder.in-channels 1"},
      {"threads below -1", base + Arguments{"--threads", "-3"}, 2, "--threads"},
      {"knn of nothing", {"knn", "--data", data()}, 2, "--checkpoint"},
      {"knn of a missing run", {"knn", "--checkpoint", out("nowhere"), "--data", data()}, 2, "nowhere"},
      {"knn of a folder that is no run",
       {"knn", "--checkpoint", out("empty"), "--data", data()},
       2,
       "encoder.safetensors"},
      {"info of nothing", {"info"}, 2, "RUN|FILE"},
  };
  for (const auto& wrong : cases) {
    const auto outcome = unlabel(wrong.arguments);
    EXPECT_EQ(outcome.exit_code, wrong.code) << wrong.name << ": " << outcome.err;
    EXPECT_NE(outcome.err.find(wrong.says), std::string::npos) << wrong.name << ": " << outcome.err;
    if (!wrong.arguments.empty()) {
      EXPECT_TRUE(outcome.one_line()) << wrong.name << ": " << outcome.err;
    }
    EXPECT_EQ(outcome.out, "") << wrong.name;
    EXPECT_FALSE(fs::exists(none)) << wrong.name;
  }
}

}  // namespace
}  // namespace unlabel::launch
