#include "inject/faults.h"
#include "launch/pretrain/pretrain_case.h"
#include "launch/rank_threads.h"
#include "launch/weights_difference.h"
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

// Steps: the same on any number of ranks and threads, in each precision, in micro-batches; stopped by signals.

namespace unlabel::launch {
namespace {

namespace fs = std::filesystem;

class CiPretrainLoop : public PretrainCase {};

TEST_F(CiPretrainLoop, TwoRanksEqualOne) {
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

TEST_F(CiPretrainLoop, LoaderThreadsChangeNothing) {
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

TEST_F(CiPretrainLoop, MicroBatchesCoverTheBatch) {
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

TEST_F(CiPretrainLoop, SaysWhatMicroBatchesChange) {
  const auto outcome = unlabel({"pretrain", "swav", "--data", data(), "--out", out("parts"), "--batch-size", "16",
                                "--micro-batch", "4", "--max-steps", "1", "--swav.prototypes", "9"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("4 micro-batches of 4 images"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("assigns each micro-batch of 4 images to the 9 prototypes"), std::string::npos)
      << outcome.err;
}

TEST_F(CiPretrainLoop, SharesBatchStatisticsAmongImagesAndNotRanks) {
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
  EXPECT_NE(says("4").find("are over 8 images instead of 4"), std::string::npos);
  EXPECT_NE(says("512").find("are over 16 images instead of 512"), std::string::npos);
}

TEST_F(CiPretrainLoop, TrainsInSixteenBits) {
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

TEST_F(CiPretrainLoop, NarrowNetworksStayWithinTheirMemory) {
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

TEST_F(CiPretrainLoop, RunsUnderTorchrun) {
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

TEST_F(CiPretrainLoop, StopsOnASignalWithACheckpoint) {
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

TEST_F(CiPretrainLoop, ASchedulersAndALaunchersSignalAreOne) {
  Program program(Arguments{UNLABEL_BINARY_DIR "/unlabel"} +
                  with(small_run(data(), out("signals")), {{"--epochs", "3000"}}));
  wait_for_steps(out("signals/metrics.jsonl"));
  for (const int number : {SIGUSR2, SIGTERM, SIGTERM, SIGHUP, SIGINT, SIGINT}) program.signal(number);
  const auto outcome = program.wait();
  EXPECT_EQ(outcome.exit_code, 75) << outcome.err;
  EXPECT_TRUE(fs::exists(out("signals/checkpoints/latest/manifest.json")));
}

TEST_F(CiPretrainLoop, StopsOnASignalInAPassOverTheData) {
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
  for (int i = 0; i < 600 && program.errors_so_far().find(" per epoch") == std::string::npos; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  program.signal(SIGTERM);
  auto outcome = program.wait();
  EXPECT_EQ(outcome.exit_code, 75) << outcome.err;
  EXPECT_NE(outcome.err.find("stopped on request after step 0"), std::string::npos) << outcome.err;
  EXPECT_TRUE(fs::exists(run + "/checkpoints/step-00000000/manifest.json"));
  outcome = unlabel(arguments);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.err.find("starts over"), std::string::npos) << "it goes on from step 0: " << outcome.err;
  const std::string straight = out("undisturbed-pass");
  ASSERT_EQ(unlabel(with(arguments, {{"--out", straight}})).exit_code, 0);
  EXPECT_EQ(read_bytes(run + "/encoder.safetensors"), read_bytes(straight + "/encoder.safetensors"));
}

TEST_F(CiPretrainLoop, ARankThatHangsInAStepEndsTheOthersAfterTimeout) {
  // Once there is a log, rank 1 reads no image for two minutes.
  const inject::Fault hung{
      .call = "read", .path = "images/class", .delay_milliseconds = 120000, .flag = out("hung/metrics.jsonl")};
  const auto run = with(small_run(data(), out("hung")), {{"--timeout", "3"}, {"--init-timeout", "600"}});
  const auto begin = std::chrono::steady_clock::now();
  const auto ranks = start_ranks({run, run}, {Variables{}, inject::variables({hung})});
  const auto outcome = ranks[0]->wait();
  EXPECT_EQ(outcome.exit_code, 1) << outcome.err;
  EXPECT_NE(outcome.err.find("another rank stopped"), std::string::npos) << outcome.err;
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
  EXPECT_TRUE(ranks[1]->running()) << ranks[1]->errors_so_far();
}

TEST_F(CiPretrainLoop, StopsOnASignalToOneOfTwoRanks) {
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

}  // namespace
}  // namespace unlabel::launch
