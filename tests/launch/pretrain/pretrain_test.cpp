#include <unlabel/data/io/atomic_file.h>
#include <unlabel/launch/checkpoint/checkpoint_files.h>
#include <unlabel/launch/command_line.h>
#include <unlabel/launch/pretrain/pretrain_options.h>
#include <unlabel/launch/run/run_folder.h>
#include <unlabel/ssl/methods/swav.h>
#include <unlabel/ssl/weights/safetensors.h>

#include "launch/program.h"
#include "launch/rank_threads.h"
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <torch/types.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <functional>
#include <map>
#include <regex>
#include <set>
#include <thread>

namespace unlabel::launch {
namespace {

namespace fs = std::filesystem;
/// Waits, at most a minute, until a run has done steps.
void wait_for_steps(const std::string& metrics) {
  for (int i = 0; i < 600 && read_bytes(metrics).empty(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
}

double largest_difference(const std::string& a, const std::string& b, const std::string& prefix = "") {
  const auto first = ssl::read_safetensors(a).tensors, second = ssl::read_safetensors(b).tensors;
  const std::map<std::string, at::Tensor> by_name(second.begin(), second.end());
  EXPECT_EQ(first.size(), second.size());
  double largest = 0;
  for (const auto& [name, tensor] : first) {
    if (!name.starts_with(prefix)) continue;
    const auto difference = (tensor.to(torch::kFloat64) - by_name.at(name).to(torch::kFloat64)).abs();
    largest = std::max(largest, difference.max().item<double>());
  }
  return largest;
}

class CiPretrain : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    make_images(*folder_ / "images", 64, 20, 4);
  }
  static void TearDownTestSuite() { delete folder_; }
  std::string data() const { return *folder_ / "images"; }
  std::string out(const std::string& name) const { return *folder_ / name; }

  static TemporaryFolder* folder_;
};
TemporaryFolder* CiPretrain::folder_ = nullptr;

TEST_F(CiPretrain, LeavesWhatADocumentedRunLeaves) {
  const auto outcome = unlabel(small_run(data(), out("plain")) + Arguments{"--json", "-"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto summary = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(summary.at("steps"), 24);
  EXPECT_GT(summary.at("images_per_second").get<double>(), 0);
  EXPECT_GE(summary.at("data_wait").get<double>(), 0);
  EXPECT_LE(summary.at("data_wait").get<double>(), 1);
  const auto lines = read_lines(out("plain/metrics.jsonl"));
  ASSERT_EQ(lines.size(), 24u);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i].at("step"), i);
    EXPECT_TRUE(lines[i].at("loss").is_number());
  }
  EXPECT_EQ(lines.back().at("loss"), summary.at("final_loss"));
  EXPECT_TRUE(summary.at("collapse").empty());
  EXPECT_EQ(lines[0].at("queue_full"), 0);
  EXPECT_EQ(lines[2].at("queue_full"), 1);
  EXPECT_EQ(nlohmann::json::parse(read_bytes(out("plain/config.json"))).at("swav").at("prototypes"), 12);
  const auto encoder = ssl::read_safetensors(out("plain/encoder.safetensors"));
  EXPECT_EQ(encoder.metadata.at("arch"), "resnet18");
  EXPECT_EQ(encoder.metadata.at("size"), "16");

  const auto before = read_bytes(out("plain/encoder.safetensors"));
  const auto again = unlabel(small_run(data(), out("plain")));
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_NE(again.err.find("finished"), std::string::npos) << again.err;
  EXPECT_EQ(read_lines(out("plain/metrics.jsonl")).size(), 24u);
  EXPECT_EQ(read_bytes(out("plain/encoder.safetensors")), before);
}

TEST_F(CiPretrain, HelpOfAMethodIsAboutThatOne) {
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

TEST_F(CiPretrain, TwoRanksEqualOne) {
  for (const auto& [precision, tolerance] :
       std::vector<std::pair<std::string, double>>{{"float64", 1e-9}, {"float32", 1e-3}}) {
    const Arguments steps{"--precision", precision, "--max-steps", "20"};
    // In float64 at a rate that moves the weights by far more than the tolerance, which is checked below. In float32 this tiny network
    // doubles a rounding error at every such step; LARC's small ones keep the runs comparable for 20.
    const std::map<std::string, std::string> rate =
        precision == "float64"
            ? std::map<std::string, std::string>{{"--optimizer.kind", "sgd"}, {"--optimizer.lr", "0.001"}}
            : std::map<std::string, std::string>{};
    const auto one = unlabel(with(small_run(data(), out("one-" + precision)) + steps, rate));
    ASSERT_EQ(one.exit_code, 0) << one.err;
    for (const auto& outcome : unlabel_ranks(2, with(small_run(data(), out("two-" + precision)) + steps, rate)))
      ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    const auto a = read_lines(out("one-" + precision + "/metrics.jsonl")),
               b = read_lines(out("two-" + precision + "/metrics.jsonl"));
    ASSERT_EQ(a.size(), 20u);
    ASSERT_EQ(b.size(), 20u);
    for (std::size_t i = 0; i < a.size(); ++i)
      EXPECT_NEAR(a[i].at("loss").get<double>(), b[i].at("loss").get<double>(), tolerance)
          << precision << ", step " << i;
    // Everything that the method holds: encoder, head, prototypes and queue.
    const std::string state = "/checkpoints/latest/state.safetensors";
    EXPECT_LT(largest_difference(out("one-" + precision + state), out("two-" + precision + state), "method."),
              tolerance);
    if (precision != "float64") continue;
    const auto started =
        unlabel(with(small_run(data(), out("start")), {{"--precision", precision}, {"--max-steps", "0"}}));
    ASSERT_EQ(started.exit_code, 0) << started.err;
    EXPECT_GT(largest_difference(out("one-float64/encoder.safetensors"), out("start/encoder.safetensors")), 0.01)
        << "the weights moved";
  }
  // The runs did compute in different precisions.
  EXPECT_GT(largest_difference(out("one-float32/encoder.safetensors"), out("one-float64/encoder.safetensors")), 0);
}

TEST_F(CiPretrain, LoaderThreadsChangeNothing) {
  std::string first;
  for (const char* threads : {"0", "1", "4"}) {
    const std::string name = out(std::string("threads-") + threads);
    const auto outcome = unlabel(with(small_run(data(), name), {{"--threads", threads}, {"--max-steps", "10"}}));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    const auto bytes = read_bytes(name + "/encoder.safetensors");
    if (first.empty()) first = bytes;
    EXPECT_EQ(bytes, first) << threads << " threads";
  }
}

TEST_F(CiPretrain, GoesOnWhereItStopped) {
  ASSERT_EQ(unlabel(small_run(data(), out("straight")) + Arguments{"--max-steps", "13"}).exit_code, 0);
  for (const char* stop : {"3", "9"}) {
    const std::string name = out(std::string("resumed-") + stop);
    ASSERT_EQ(unlabel(small_run(data(), name) + Arguments{"--max-steps", stop}).exit_code, 0);
    const auto outcome = unlabel(small_run(data(), name) + Arguments{"--max-steps", "13"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_NE(outcome.err.find("going on from step " + std::string(stop)), std::string::npos);
    EXPECT_EQ(read_bytes(name + "/encoder.safetensors"), read_bytes(out("straight/encoder.safetensors"))) << stop;
    ASSERT_EQ(read_lines(name + "/metrics.jsonl").size(), 13u);
  }
}

TEST_F(CiPretrain, RefusesToGoOnWithOtherSettingsOrData) {
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

TEST_F(CiPretrain, GoesOnWithWhatItBeganWith) {
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

TEST_F(CiPretrain, SaysThatARunBeginsAnewWithoutACheckpoint) {
  const auto run = small_run(data(), out("anew")) + Arguments{"--max-steps", "2"};
  ASSERT_EQ(unlabel(run).exit_code, 0);
  fs::remove_all(out("anew/checkpoints"));  // as if it had been killed before the first one
  fs::remove(out("anew/encoder.safetensors"));
  const auto outcome = unlabel(run);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("had not come to its first checkpoint: it begins anew"), std::string::npos) << outcome.err;
}

TEST_F(CiPretrain, StopsOnASignalWithACheckpoint) {
  Program program(Arguments{UNLABEL_BINARY_DIR "/unlabel"} +
                  with(small_run(data(), out("signal")), {{"--epochs", "3000"}}));
  wait_for_steps(out("signal/metrics.jsonl"));
  program.signal(SIGUSR1);
  const auto outcome = program.wait();
  EXPECT_EQ(outcome.exit_code, 75) << outcome.err;
  EXPECT_NE(outcome.err.find("stopped on request"), std::string::npos) << outcome.err;
  EXPECT_TRUE(fs::exists(out("signal/checkpoints/latest/manifest.json")));
  EXPECT_FALSE(fs::exists(out("signal/encoder.safetensors")));
  const auto knn = unlabel({"knn", "--checkpoint", out("signal"), "--train", data(), "--test", data()});
  EXPECT_EQ(knn.exit_code, 0) << knn.err;  // a run that is not finished can be measured
}

TEST_F(CiPretrain, ASchedulersAndALaunchersSignalAreOne) {
  Program program(Arguments{UNLABEL_BINARY_DIR "/unlabel"} +
                  with(small_run(data(), out("signals")), {{"--epochs", "3000"}}));
  wait_for_steps(out("signals/metrics.jsonl"));
  for (const int number : {SIGUSR2, SIGTERM, SIGTERM, SIGHUP, SIGINT, SIGINT}) program.signal(number);
  const auto outcome = program.wait();
  EXPECT_EQ(outcome.exit_code, 75) << outcome.err;
  EXPECT_TRUE(fs::exists(out("signals/checkpoints/latest/manifest.json")));
}

TEST_F(CiPretrain, StopsOnASignalInAPassOverTheData) {
  // DeepCluster takes the features of all images before it trains.
  const std::string images = out("many"), run = out("signal-pass");
  make_images(images, 1500, 64, 0);
  const Arguments arguments{"pretrain",
                            "deepcluster",
                            "--data",
                            images,
                            "--out",
                            run,
                            "--encoder.width",
                            "8",
                            "--epochs",
                            "2",
                            "--max-steps",
                            "1",
                            "--deepcluster.clusters",
                            "4",
                            "--threads",
                            "0"};
  Program program(Arguments{UNLABEL_BINARY_DIR "/unlabel"} + arguments);
  for (int i = 0; i < 600 && program.errors_so_far().find(" an epoch") == std::string::npos; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  program.signal(SIGTERM);
  auto outcome = program.wait();
  EXPECT_EQ(outcome.exit_code, 75) << outcome.err;
  EXPECT_NE(outcome.err.find("stopped on request after step 0"), std::string::npos) << outcome.err;
  EXPECT_TRUE(fs::exists(run + "/checkpoints/step-00000000/manifest.json"));
  outcome = unlabel(arguments);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.err.find("begins anew"), std::string::npos) << "it goes on from step 0: " << outcome.err;
  const std::string straight = out("undisturbed-pass");
  ASSERT_EQ(unlabel(with(arguments, {{"--out", straight}})).exit_code, 0);
  EXPECT_EQ(read_bytes(run + "/encoder.safetensors"), read_bytes(straight + "/encoder.safetensors"));
}

TEST_F(CiPretrain, StopsOnASignalToOneOfTwoRanks) {
  const auto ranks = start_ranks(2, with(small_run(data(), out("signal-two")), {{"--epochs", "3000"}}));
  wait_for_steps(out("signal-two/metrics.jsonl"));
  ranks[1]->signal(SIGTERM);
  for (const auto& rank : ranks) {
    const auto outcome = rank->wait();
    EXPECT_EQ(outcome.exit_code, 75) << outcome.err;
  }
  const auto steps = read_lines(out("signal-two/metrics.jsonl")).size();
  const auto checkpoint = nlohmann::json::parse(read_bytes(out("signal-two/checkpoints/latest/training.json")));
  EXPECT_EQ(checkpoint.at("iteration"), steps) << "the checkpoint is of the last step that was done";
}

TEST_F(CiPretrain, TellsWhenItHasCollapsed) {
  // 160 steps at settings that do learn these textures, which color jitter would hide.
  const std::map<std::string, std::string> longer{
      {"--epochs", "80"},           {"--batch-size", "32"},
      {"--swav.prototypes", "8"},   {"--swav.freeze-prototypes-iterations", "40"},
      {"--swav.queue-length", "0"}, {"--optimizer.kind", "sgd"},
      {"--optimizer.lr", "0.05"},   {"--augment.local-count", "0"},
      {"--augment.jitter", "0"},    {"--augment.global-scale", "[0.6, 1.0]"}};
  auto outcome = unlabel(with(small_run(data(), out("healthy")), longer));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  auto lines = read_lines(out("healthy/metrics.jsonl"));
  for (const auto& line : lines) {
    EXPECT_FALSE(line.contains("warnings")) << line;
    EXPECT_FALSE(line.contains("collapse")) << line;
    EXPECT_TRUE(line.at("feature_spread").is_number() && line.at("effective_rank").is_number()) << line;
  }

  outcome = unlabel(with(small_run(data(), out("collapsed")) + Arguments{"--swav.sinkhorn-iterations", "0"}, longer));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("warning: mean_assignment_entropy is "), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("warning: the run ends collapsed, or has learned nothing yet, by its "), std::string::npos)
      << outcome.err;
  lines = read_lines(out("collapsed/metrics.jsonl"));
  const auto signs = lines.back().at("collapse");
  EXPECT_NE(std::find(signs.begin(), signs.end(), "mean_assignment_entropy"), signs.end()) << signs;
  const auto said =
      std::find_if(lines.begin(), lines.end(), [](const auto& line) { return line.contains("warnings"); });
  ASSERT_NE(said, lines.end());
  EXPECT_NE(outcome.err.find((*said).at("warnings").at(0).get<std::string>()), std::string::npos);
}

TEST_F(CiPretrain, MicroBatchesCoverTheBatch) {
  // Batch statistics and Sinkhorn are of a micro-batch, so the losses differ from one pass; the steps and images do not.
  const auto run = small_run(data(), out("micro"));
  const auto outcome = unlabel(with(run, {{"--micro-batch", "4"}, {"--swav.queue-length", "0"}}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto lines = read_lines(out("micro/metrics.jsonl"));
  ASSERT_EQ(lines.size(), 24u);
  EXPECT_LT(lines.back().at("loss").get<double>(), lines.front().at("loss").get<double>());
  const auto refused = unlabel(with(run, {{"--micro-batch", "5"}, {"--out", out("micro-5")}}));
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("does not divide"), std::string::npos) << refused.err;
}

TEST_F(CiPretrain, TrainsInSixteenBits) {
  // Of views and embeddings that are not so tiny that rounding decides which prototype is the nearest.
  const auto run = [&](const std::string& name) {
    return with(small_run(data(), out(name)), {{"--augment.global-size", "32"},
                                               {"--augment.local-size", "16"},
                                               {"--swav.prototypes", "32"},
                                               {"--swav.projection-dim", "128"},
                                               {"--swav.hidden-dim", "128"}});
  };
  ASSERT_EQ(unlabel(run("start32") + Arguments{"--max-steps", "0"}).exit_code, 0);
  ASSERT_EQ(unlabel(run("float32") + Arguments{"--max-steps", "1", "--precision", "float32"}).exit_code, 0);
  const double exact = read_lines(out("float32/metrics.jsonl")).at(0).at("loss").get<double>();
  for (const std::string precision : {"bf16", "fp16"}) {
    const Arguments options{"--max-steps", "8", "--precision", precision};
    const auto outcome = unlabel(run(precision) + options);
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    const auto lines = read_lines(out(precision + "/metrics.jsonl"));
    ASSERT_EQ(lines.size(), 8u);
    // Before the first update, because fp16 then skips steps until its loss scale fits.
    EXPECT_NEAR(lines[0].at("loss").get<double>(), exact, 0.02) << precision;
    EXPECT_NE(lines[0].at("loss").get<double>(), exact) << precision << " was computed in it";
    EXPECT_GT(largest_difference(out(precision + "/encoder.safetensors"), out("start32/encoder.safetensors"), "conv1."),
              0)
        << precision << " trained";
  }
}

TEST_F(CiPretrain, RunsUnderTorchrun) {
  const std::string python = UNLABEL_SOURCE_DIR "/.venv/bin/python";
  if (!fs::exists(python))
    GTEST_SKIP() << "no " << python << ": LibTorch comes from elsewhere, so there is no torchrun";
  const Arguments torchrun{python,
                           "-m",
                           "torch.distributed.run",
                           "--no-python",
                           "--nproc-per-node",
                           "2",
                           "--master-port",
                           std::to_string(free_port()),
                           UNLABEL_BINARY_DIR "/unlabel"};
  const auto outcome = Program(torchrun + small_run(data(), out("torchrun")) + Arguments{"--max-steps", "4"}).wait();
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(read_lines(out("torchrun/metrics.jsonl")).size(), 4u);
  EXPECT_NE(outcome.err.find("2 rank(s)"), std::string::npos) << outcome.err;
}

TEST_F(CiPretrain, ReplacesAndNamesBrokenImages) {
  const std::string images = out("broken-images");
  make_images(images, 32, 20, 0);
  fs::resize_file(images + "/00007.png", 100);
  const Arguments some{"--max-steps", "2", "--health.broken-budget", "0.1"};
  auto outcome = unlabel(small_run(images, out("broken")) + some);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto lines = read_lines(out("broken/replaced.jsonl"));
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].at("name"), "00007.png");
  EXPECT_EQ(lines[0].at("replacement"), 8);
  EXPECT_FALSE(lines[0].at("reason").get<std::string>().empty());
  EXPECT_NE(outcome.err.find("warning: 00007.png cannot be read"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("replaced 1 times"), std::string::npos) << outcome.err;
  for (const auto& rank : unlabel_ranks(2, small_run(images, out("broken-2")) + some))
    ASSERT_EQ(rank.exit_code, 0) << rank.err;
  EXPECT_EQ(read_lines(out("broken-2/replaced.jsonl")), lines);
  // One of 32 is more than a hundredth, where that is asked for.
  const Arguments strict{"--max-steps", "2", "--health.broken-budget", "0.01"};
  for (const auto& rank : unlabel_ranks(2, small_run(images, out("broken-3")) + strict)) {
    EXPECT_EQ(rank.exit_code, 93) << rank.err;
    EXPECT_NE(rank.err.find("too many broken images: 1 of 32"), std::string::npos) << rank.err;
    EXPECT_NE(rank.err.find("begin from what was learned"), std::string::npos) << "the run saves first: " << rank.err;
  }
  EXPECT_EQ(read_lines(out("broken-3/replaced.jsonl")), lines) << "what ended the run is named";
}

TEST_F(CiPretrain, CountsBrokenImagesOverAResume) {
  // Four steps see each of the 64 images once. Four are broken, which is the budget; they must not all come in one half.
  const std::string images = out("broken-over-a-resume"), run = out("broken-resumed");
  make_images(images, 64, 20, 0);
  for (const char* name : {"/00003.png", "/00017.png", "/00038.png", "/00059.png"}) fs::resize_file(images + name, 100);
  const auto arguments = with(small_run(images, run), {{"--health.broken-budget", "0.0625"}});
  auto outcome = unlabel(arguments + Arguments{"--max-steps", "2"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto before = read_lines(run + "/replaced.jsonl").size();
  ASSERT_TRUE(before > 0 && before < 4) << before;
  outcome = unlabel(arguments + Arguments{"--max-steps", "4"});
  EXPECT_EQ(outcome.exit_code, 93) << outcome.err;
  EXPECT_NE(outcome.err.find("too many broken images: 4 of 64"), std::string::npos) << outcome.err;
}

TEST_F(CiPretrain, RanksMustHaveTheSameDataAndSettings) {
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
          "rank 1: other data than on rank 0: " + out("other-node") + "/class3/00063.png is missing");
  refused("ranks-settings", with(small_run(data(), out("ranks-settings")), {{"--swav.epsilon", "0.07"}}),
          "rank 1 has other settings than rank 0: swav.epsilon 0.07 and not 0.03");
}

TEST_F(CiPretrain, AFolderOfCheckpointsThatCannotBeReadIsNoFreshStart) {
  const std::string run = out("unreadable");
  ASSERT_EQ(unlabel(small_run(data(), run) + Arguments{"--max-steps", "2"}).exit_code, 0);
  fs::rename(run + "/checkpoints", run + "/elsewhere");
  std::ofstream(run + "/checkpoints") << "a file";
  const auto metrics = read_bytes(run + "/metrics.jsonl");
  const auto outcome = unlabel(small_run(data(), run) + Arguments{"--max-steps", "4"});
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_NE(outcome.err.find("cannot read " + run + "/checkpoints"), std::string::npos) << outcome.err;
  EXPECT_EQ(read_bytes(run + "/metrics.jsonl"), metrics);
}

TEST_F(CiPretrain, DoesNotStartAFinishedRunOver) {
  const std::string run = out("pruned");
  const auto arguments = small_run(data(), run) + Arguments{"--max-steps", "2"};
  ASSERT_EQ(unlabel(arguments).exit_code, 0);
  const auto encoder = read_bytes(run + "/encoder.safetensors"), log = read_bytes(run + "/metrics.jsonl");
  fs::remove_all(run + "/checkpoints");
  const auto outcome = unlabel(arguments);
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_NE(outcome.err.find("without a checkpoint"), std::string::npos) << outcome.err;
  EXPECT_EQ(read_bytes(run + "/encoder.safetensors"), encoder);
  EXPECT_EQ(read_bytes(run + "/metrics.jsonl"), log);
}

TEST_F(CiPretrain, SetsADamagedCheckpointAside) {
  const std::string run = out("damaged");
  const auto arguments = small_run(data(), run) + Arguments{"--checkpoint.every", "2"};
  ASSERT_EQ(unlabel(arguments + Arguments{"--max-steps", "4"}).exit_code, 0);
  const auto encoder = read_bytes(run + "/encoder.safetensors");
  fs::resize_file(run + "/checkpoints/step-00000004/state.safetensors", 1000);
  const auto outcome = unlabel(arguments + Arguments{"--max-steps", "5"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("a checkpoint is passed over"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("going on from step 2"), std::string::npos) << outcome.err;
  for (const char* name : {"damaged-step-00000004", "step-00000004", "step-00000005"})
    EXPECT_TRUE(fs::exists(run + "/checkpoints/" + name)) << name;
  // What the damaged checkpoint's step had learned is not lost.
  EXPECT_EQ(read_bytes(run + "/encoder-1.safetensors"), encoder);
  EXPECT_NE(outcome.err.find("it is kept as " + run + "/encoder-1.safetensors"), std::string::npos) << outcome.err;
}

TEST_F(CiPretrain, AnEncoderOfAShorterRunIsNotMistakenForTheNewest) {
  const std::string run = out("longer");
  const auto stopped = with(small_run(data(), run), {{"--epochs", "3000"}});
  ASSERT_EQ(unlabel(stopped + Arguments{"--max-steps", "1"}).exit_code, 0);
  ASSERT_TRUE(fs::exists(run + "/encoder.safetensors"));
  fs::remove(run + "/metrics.jsonl");
  Program second(Arguments{UNLABEL_BINARY_DIR "/unlabel"} + stopped);
  wait_for_steps(run + "/metrics.jsonl");
  second.signal(SIGTERM);
  EXPECT_EQ(second.wait().exit_code, 75);
  EXPECT_FALSE(fs::exists(run + "/encoder.safetensors"));
}

TEST_F(CiPretrain, LeavesOutWhatIsNotFiniteUntilTheBudgetIsSpent) {
  // The first update throws the weights to where nothing is finite.
  const auto diverging = with(small_run(data(), out("nan")), {{"--optimizer.kind", "sgd"},
                                                              {"--optimizer.lr", "1e30"},
                                                              {"--schedule.warmup-epochs", "0"},
                                                              {"--health.nonfinite-budget", "3"}});
  for (const auto& rank : unlabel_ranks(2, diverging)) {
    EXPECT_EQ(rank.exit_code, 93) << rank.err;
    EXPECT_NE(rank.err.find("not finite in 4 of the last 100 steps"), std::string::npos) << rank.err;
  }
  const auto left_out = read_lines(out("nan/nonfinite.jsonl"));
  ASSERT_EQ(left_out.size(), 4u);
  for (const auto& line : left_out) {
    const auto indices = line.at("indices").get<std::set<int>>();
    EXPECT_EQ(indices.size(), 16u) << "the whole batch, of both ranks";
    EXPECT_GE(*indices.begin(), 0);
    EXPECT_LT(*indices.rbegin(), 64);
    const auto step = read_lines(out("nan/metrics.jsonl")).at(line.at("step").get<std::size_t>());
    EXPECT_TRUE(step.at("left_out").get<bool>());
  }
  EXPECT_FALSE(fs::exists(out("nan/encoder.safetensors")));
}

TEST_F(CiPretrain, KeepsTheCheckpointsThatItIsToldTo) {
  const auto steps_kept = [&](const std::string& run) {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(out(run) + "/checkpoints")) names.insert(entry.path().filename());
    return names;
  };
  auto outcome = unlabel(small_run(data(), out("kept")) + Arguments{"--checkpoint.every", "2", "--checkpoint.keep", "1",
                                                                    "--checkpoint.keep-every", "8"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(steps_kept("kept"), (std::set<std::string>{"latest", "step-00000008", "step-00000016", "step-00000024"}));
  // Every 60 ms; the run takes some tenths of a second.
  outcome = unlabel(with(small_run(data(), out("clock")), {{"--epochs", "20"}}) +
                    Arguments{"--checkpoint.every", "0.001min", "--checkpoint.keep", "1000"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_GT(steps_kept("clock").size(), 3u);
  EXPECT_LT(steps_kept("clock").size(), 60u);
  outcome = unlabel(small_run(data(), out("clock")) + Arguments{"--checkpoint.every", "soon"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.err.find("minutes as in 20min"), std::string::npos) << outcome.err;
}

TEST_F(CiPretrain, WarnsOfWhatCannotWorkWithARecipeToo) {
  const auto outcome = unlabel({"pretrain", "swav", "--data", data(), "--out", out("warned"), "--recipe",
                                "cifar10_small", "--batch-size", "16", "--max-steps", "1"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("warning: 512 prototypes for 64 images"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("warning: crops of 32 pixels"), std::string::npos) << outcome.err;
}

TEST_F(CiPretrain, PlansForAFolderWithoutARecipe) {
  const auto outcome = unlabel({"pretrain", "swav", "--data", data(), "--out", out("planned"), "--max-steps", "1"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto config = nlohmann::json::parse(read_bytes(out("planned/config.json")));
  EXPECT_LE(config.at("augment").at("global_size").get<int>(), 20);
  EXPECT_EQ(config.at("encoder").at("stem"), "small");
  EXPECT_LE(config.at("swav").at("prototypes").get<int>(), 64);
  EXPECT_NE(outcome.err.find("--swav.prototypes"), std::string::npos) << "reasons are told: " << outcome.err;
}

TEST_F(CiPretrain, ExplainsItsSettingsBesideThePapers) {
  auto outcome = unlabel({"pretrain", "swav", "--data", data(), "--explain", "--batch-size", "16"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto line = [&](const std::string& setting) {
    const auto begin = outcome.out.find("\n--" + setting + " ") + 1;
    return begin == 0 ? "no --" + setting : outcome.out.substr(begin, outcome.out.find('\n', begin) - begin);
  };
  EXPECT_TRUE(std::regex_match(line("batch-size"), std::regex("--batch-size +16 +4096 +given"))) << line("batch-size");
  EXPECT_TRUE(
      std::regex_match(line("augment.global-size"), std::regex(R"(--augment.global-size +20 +224 +half of .*)")))
      << line("augment.global-size");
  EXPECT_TRUE(std::regex_match(line("swav.prototypes"), std::regex("--swav.prototypes +16 +3000 +few images.*")))
      << line("swav.prototypes");
  EXPECT_TRUE(std::regex_match(line("swav.epsilon"), std::regex("--swav.epsilon +0.03 +0.05 +for 16 prototypes.*")))
      << line("swav.epsilon");
  EXPECT_TRUE(std::regex_match(line("augment.global-count"), std::regex("--augment.global-count +2 +2 +the paper's.*")))
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
  EXPECT_NE(outcome.out.find("from the recipe cifar10_small"), std::string::npos) << outcome.err;
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

TEST_F(CiPretrain, OnlyOneRankThatMeasuresOrHasWeightsIsOtherSettings) {
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

TEST_F(CiPretrain, SharesBatchStatisticsAmongImagesAndNotRanks) {
  const auto says = [&](const std::string& images) {
    const auto outcomes = unlabel_ranks(
        2, {"pretrain", "swav", "--data", data(), "--out", out("norm" + images), "--batch-size", "16", "--max-steps",
            "1", "--encoder.width", "4", "--swav.prototypes", "4", "--batch-norm-images", images});
    EXPECT_EQ(outcomes[0].exit_code, 0) << outcomes[0].err;
    const auto begin = outcomes[0].err.find("warning: batch statistics");
    return begin == std::string::npos ? "" : outcomes[0].err.substr(begin, outcomes[0].err.find('\n', begin) - begin);
  };
  EXPECT_EQ(says("0"), "");
  EXPECT_EQ(says("8"), "");
  EXPECT_EQ(says("16"), "");
  EXPECT_NE(says("4").find("are of 8 images and not of 4"), std::string::npos);
  EXPECT_NE(says("512").find("are of 16 images and not of 512"), std::string::npos);
}

TEST_F(CiPretrain, SaysWhatMicroBatchesChange) {
  const auto outcome = unlabel({"pretrain", "swav", "--data", data(), "--out", out("parts"), "--batch-size", "16",
                                "--micro-batch", "4", "--max-steps", "1", "--swav.prototypes", "9"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("4 micro-batches of 4 images"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("spreads each micro-batch, 4 images, over the 9 prototypes"), std::string::npos)
      << outcome.err;
}

struct WrongUse {
  const char* name;
  Arguments arguments;
  int code;
  const char* says;
};

TEST_F(CiPretrain, APlanStandsOnceTheRunHasBegun) {
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

TEST_F(CiPretrain, MeetsWrongUseKindlyAndWritesNothing) {
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
      {"a place for JSON that is not there", base + Arguments{"--json", out("nowhere/x.json")}, 2, "make it first"},
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

TEST_F(CiPretrain, NarrowNetworksStayWithinTheirMemory) {
  // oneDNN's kernels of strided 1 x 1 convolutions in channels_last write beyond memory for narrow networks, from 80 px on.
  for (const char* precision : {"float32", "bf16"}) {
    std::vector<std::string> encoders;
    for (const char* channels_last : {"true", "false"}) {
      const auto run = out(std::string("narrow-") + precision + channels_last);
      const auto outcome = unlabel({"pretrain",
                                    "simclr",
                                    "--data",
                                    data(),
                                    "--channels-last",
                                    channels_last,
                                    "--out",
                                    run,
                                    "--encoder.width",
                                    "8",
                                    "--encoder.stem",
                                    "small",
                                    "--augment.global-size",
                                    "96",
                                    "--batch-size",
                                    "16",
                                    "--threads",
                                    "0",
                                    "--max-steps",
                                    "2",
                                    "--precision",
                                    precision});
      EXPECT_EQ(outcome.exit_code, 0) << precision << ": " << outcome.err;
      encoders.push_back(read_bytes(run + "/encoder.safetensors"));
    }
    EXPECT_TRUE(encoders[0] == encoders[1]) << precision << ": channels_last is not asked for again";
    EXPECT_FALSE(encoders[0].empty()) << precision;
  }
}

TEST_F(CiPretrain, TheWeightsOfInitContradictARecipe) {
  ASSERT_EQ(unlabel(small_run(data(), out("contradicts")) + Arguments{"--max-steps", "1"}).exit_code, 0);
  const auto outcome = unlabel({"pretrain", "swav", "--data", data(), "--out", out("not-made"), "--recipe",
                                "swav_200ep", "--init", out("contradicts")});
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_NE(outcome.err.find("the recipe has it: give --encoder.arch resnet18"), std::string::npos) << outcome.err;
}

TEST_F(CiPretrain, StopsBeforeBrokenWeightsAreSaved) {
  const auto outcome = unlabel(with(small_run(data(), out("diverged")), {{"--optimizer.kind", "sgd"},
                                                                         {"--optimizer.lr", "1e38"},
                                                                         {"--schedule.warmup-epochs", "0"},
                                                                         {"--max-steps", "1"}}));
  EXPECT_EQ(outcome.exit_code, 93) << outcome.err;
  EXPECT_NE(outcome.err.find("not finite"), std::string::npos) << outcome.err;
  EXPECT_FALSE(fs::exists(out("diverged/encoder.safetensors")));
  EXPECT_FALSE(fs::exists(out("diverged/checkpoints/latest")));
}

TEST_F(CiPretrain, StartsFromGivenWeights) {
  const auto train = [&](const std::string& name, const std::map<std::string, std::string>& values) {
    return unlabel(with(small_run(data(), out(name)) + Arguments{"--max-steps", "1"}, values));
  };
  const auto first = train("source", {});
  ASSERT_EQ(first.exit_code, 0) << first.err;
  const std::string weights = out("source/encoder.safetensors");
  const auto second = train("initialized", {{"--init", weights}, {"--seed", "9"}});
  ASSERT_EQ(second.exit_code, 0) << second.err;
  EXPECT_NE(second.err.find("encoder.safetensors: 120 tensors loaded"), std::string::npos) << second.err;
  // One small step away from what was given, and far from the weights of another seed.
  EXPECT_LT(largest_difference(weights, out("initialized/encoder.safetensors"), "conv1.weight"), 0.01);
  const auto other = train("other-seed", {{"--seed", "9"}});
  ASSERT_EQ(other.exit_code, 0) << other.err;
  EXPECT_GT(largest_difference(weights, out("other-seed/encoder.safetensors"), "conv1.weight"), 0.1);
  // The same from its folder, and from the checkpoint of a run that is not finished.
  const auto folder = train("from-a-run", {{"--init", out("source")}, {"--seed", "9"}});
  ASSERT_EQ(folder.exit_code, 0) << folder.err;
  EXPECT_EQ(largest_difference(out("initialized/encoder.safetensors"), out("from-a-run/encoder.safetensors"), ""), 0);
  fs::remove(weights);
  const auto unfinished = train("from-a-checkpoint", {{"--init", out("source")}, {"--seed", "9"}});
  ASSERT_EQ(unfinished.exit_code, 0) << unfinished.err;
  EXPECT_EQ(
      largest_difference(out("initialized/encoder.safetensors"), out("from-a-checkpoint/encoder.safetensors"), ""), 0);
  const auto nothing = train("from-nothing", {{"--init", data()}});
  EXPECT_EQ(nothing.exit_code, 2);
  EXPECT_NE(nothing.err.find("neither encoder.safetensors nor a checkpoint is in it"), std::string::npos)
      << nothing.err;
  const auto byol = unlabel({"pretrain", "byol", "--data", data(), "--out", out("source"), "--max-steps", "1"});
  EXPECT_EQ(byol.exit_code, 93);
  EXPECT_NE(byol.err.find("is a run of swav: choose another --out for byol"), std::string::npos) << byol.err;
  // Of an encoder of another width both values are told, and nothing is begun.
  const auto wider = train("wider", {{"--init", out("initialized/encoder.safetensors")}, {"--encoder.width", "8"}});
  EXPECT_EQ(wider.exit_code, 2);
  EXPECT_NE(wider.err.find("--encoder.width is 8, and the weights in " + out("initialized/encoder.safetensors") +
                           " are of 4"),
            std::string::npos)
      << wider.err;
  EXPECT_TRUE(wider.one_line()) << wider.err;
  EXPECT_FALSE(fs::exists(out("wider")));
  // What a part leaves out is told, and stands in the summary.
  auto part = ssl::read_safetensors(out("initialized/encoder.safetensors"));
  std::erase_if(part.tensors, [](const auto& item) { return item.first.starts_with("layer4.1.bn2."); });
  ssl::write_safetensors(out("part.safetensors"), part);
  const auto refused = train("no-part", {{"--init", out("part.safetensors")}});
  EXPECT_EQ(refused.exit_code, 93) << refused.err;
  EXPECT_NE(refused.err.find("do not fill"), std::string::npos) << refused.err;
  const auto given =
      train("part", {{"--init", out("part.safetensors")}, {"--init-partial", "yes"}, {"--json", out("part.json")}});
  ASSERT_EQ(given.exit_code, 0) << given.err;
  const auto said = nlohmann::json::parse(read_bytes(out("part.json"))).at("warnings").dump();
  EXPECT_NE(said.find("missing"), std::string::npos) << said;
  EXPECT_NE(given.err.find("missing from the file:\n  layer4.1.bn2."), std::string::npos) << given.err;
}

TEST_F(CiPretrain, MeasuresInFloat64AndDespiteABrokenImage) {
  make_images(out("labeled/train"), 32, 16, 2);
  make_images(out("labeled/test"), 16, 16, 2);
  fs::resize_file(fs::directory_iterator(out("labeled/test/class0"))->path(), 60);
  const auto outcome =
      unlabel({"pretrain", "swav", "--data", out("labeled"), "--out", out("measured"), "--epochs", "1", "--batch-size",
               "16", "--encoder.width", "4", "--precision", "float64", "--knn.every", "1"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_TRUE(read_lines(out("measured/metrics.jsonl")).back().contains("knn_accuracy"));
  EXPECT_NE(outcome.err.find("1 broken images left out"), std::string::npos) << outcome.err;
}

TEST_F(CiPretrain, GoesOnWhenItCannotBeMeasured) {
  make_images(out("measurable/train"), 32, 16, 2);
  make_images(out("measurable/test"), 16, 16, 2);
  const Arguments run{
      "pretrain", "swav",        "--data", out("measurable"), "--epochs", "1", "--batch-size", "16", "--encoder.width",
      "4",        "--knn.every", "1",      "--threads",       "1"};
  ASSERT_EQ(unlabel(run + Arguments{"--out", out("finite")}).exit_code, 0);
  // Features beyond what 16 bits hold. The steps are left out as well, which is within their budget.
  auto weights = ssl::read_safetensors(out("finite/encoder.safetensors"));
  for (auto& [name, tensor] : weights.tensors)
    if (name == "layer4.1.bn2.weight") tensor.fill_(1e8);
  ssl::write_safetensors(out("huge.safetensors"), weights);
  const auto outcome =
      unlabel(run + Arguments{"--out", out("huge"), "--init", out("huge.safetensors"), "--precision", "fp16"});
  // It ends with 93 because of its steps, all of them, after the epoch that it could not measure.
  ASSERT_EQ(outcome.exit_code, 93) << outcome.err;
  EXPECT_NE(outcome.err.find("all 2 updates were left out"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("warning: epoch 1: no kNN accuracy: features of 32 of 32"), std::string::npos)
      << outcome.err;
  EXPECT_FALSE(read_lines(out("huge/metrics.jsonl")).back().contains("knn_accuracy"));
}

TEST_F(CiPretrain, PathsNeedNotBeUtf8) {
  const auto odd = out("caf\xe9");
  const auto outcome = unlabel(small_run(data(), odd) + Arguments{"--max-steps", "1"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_TRUE(fs::exists(odd + "/checkpoints/latest/manifest.json"));
}

TEST_F(CiPretrain, RefusesABatchThatTheRanksCannotShare) {
  for (const auto& outcome : unlabel_ranks(2, with(small_run(data(), out("odd")), {{"--batch-size", "15"}}))) {
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
    EXPECT_TRUE(outcome.one_line()) << outcome.err;
  }
  EXPECT_FALSE(fs::exists(out("odd")));
}

TEST_F(CiPretrain, RefusesAFolderInUse) {
  const RunFolder held(out("held"), 0);
  const auto outcome = unlabel(small_run(data(), out("held")) + Arguments{"--max-steps", "1"});
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_NE(outcome.err.find("in use by another run"), std::string::npos) << outcome.err;
  EXPECT_TRUE(outcome.one_line()) << outcome.err;
  EXPECT_FALSE(fs::exists(out("held/metrics.jsonl")));
}

TEST_F(CiPretrain, GoesOnWhileTheDiskIsFull) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount a small disk";
  const std::string disk = out("filling"), run = disk + "/run";
  fs::create_directories(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=8m") != 0) GTEST_SKIP() << "cannot mount a small disk here";
  {
    Program program(Arguments{UNLABEL_BINARY_DIR "/unlabel"} +
                    with(small_run(data(), run), {{"--epochs", "30000"}, {"--checkpoint.every", "5"}}));
    const auto until = [&](const std::function<bool()>& there) {
      for (int i = 0; i < 600 && !there(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(100));
      return there();
    };
    const auto complete = [&] { return newest_checkpoint(run + "/checkpoints").has_value(); };
    const auto says = [&](const char* text) { return program.errors_so_far().find(text) != std::string::npos; };
    EXPECT_TRUE(until(complete)) << program.errors_so_far();
    std::ofstream filler(disk + "/filler", std::ios::binary);
    while (filler.write(std::string(4096, 'x').data(), 4096).flush()) {
    }
    EXPECT_TRUE(until([&] { return says("training goes on without this checkpoint"); })) << program.errors_so_far();
    EXPECT_TRUE(until([&] { return says("metrics.jsonl cannot be written"); })) << program.errors_so_far();
    EXPECT_TRUE(program.running());
    EXPECT_NO_THROW(verify_checkpoint(list_checkpoints(run + "/checkpoints").front().second))
        << "the one before is whole";
    filler.close();
    fs::remove(disk + "/filler");
    program.signal(SIGTERM);
    const auto outcome = program.wait();
    EXPECT_EQ(outcome.exit_code, 75) << outcome.err;
    EXPECT_NO_THROW(verify_checkpoint(run + "/checkpoints/latest"));
    for (const auto& line : read_lines(run + "/metrics.jsonl"))
      EXPECT_TRUE(line.contains("loss")) << "whole lines only";
  }
  ::umount(disk.c_str());
}

TEST_F(CiPretrain, RefusesADiskThatIsFull) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount a small disk";
  const std::string disk = out("disk");
  fs::create_directories(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=128k") != 0) GTEST_SKIP() << "cannot mount a small disk here";
  const auto outcome = unlabel(small_run(data(), disk + "/run"));
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_NE(outcome.err.find("MB free"), std::string::npos) << outcome.err;
  EXPECT_TRUE(outcome.one_line()) << outcome.err;
  EXPECT_FALSE(fs::exists(disk + "/run"));
  ::umount(disk.c_str());
}

}  // namespace
}  // namespace unlabel::launch
