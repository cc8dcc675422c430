// What the program writes to, and what it does when that cannot be written or a file cannot be read.
#include <unlabel/data/io/atomic_file.h>
#include <unlabel/launch/checkpoint/checkpoint_files.h>

#include "inject/faults.h"
#include "launch/program.h"
#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <thread>

namespace unlabel::launch {
namespace {

namespace fs = std::filesystem;

class CiOutput : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TemporaryFolder>();
    make_images(out("data/train"), 64, 16, 4);
    make_images(out("data/test"), 16, 16, 4, 1);
  }
  static void TearDownTestSuite() { folder_.reset(); }
  static std::string out(const std::string& name) { return *folder_ / name; }
  static Arguments train(const std::string& name, std::map<std::string, std::string> values = {}) {
    return with(small_run(out("data"), out(name)), values);
  }
  /// A command line of a shell, in which $UNLABEL is the program.
  static Outcome shell(const std::string& line, Variables variables = {}) {
    variables["UNLABEL"] = UNLABEL_BINARY_DIR "/unlabel";
    variables["DATA"] = out("data");
    return Program({"bash", "-c", line}, variables).wait();
  }
  static bool until(const std::function<bool()>& there) {
    for (int i = 0; i < 1200 && !there(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return there();
  }

 private:
  static inline std::unique_ptr<TemporaryFolder> folder_;
};

TEST_F(CiOutput, AResultThatCannotBeWrittenToStdoutIsAnError) {
  for (const char* command : {"knn --pixels --data $DATA --json -", "knn --pixels --data $DATA", "check $DATA",
                              "check $DATA --json -", "--help", "knn --help", "augment --help", "--version"})
    for (const char* place : {"> /dev/full", ">&-"}) {
      const auto outcome = shell(std::string("$UNLABEL ") + command + " " + place);
      EXPECT_EQ(outcome.exit_code, 1) << command << place << outcome.err;
      EXPECT_NE(outcome.err.find("standard output cannot be written"), std::string::npos) << outcome.err;
    }
  // In a file it is safe: then the line on the screen is a message.
  const auto outcome = shell("$UNLABEL check $DATA --json " + out("check.json") + " > /dev/full");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(nlohmann::json::parse(read_bytes(out("check.json"))).at("ok"), 80);
}

TEST_F(CiOutput, AFileThatMayNotGrowIsAnErrorAndNoSignal) {
  const auto outcome = shell("ulimit -f 1; $UNLABEL embed --pixels --data $DATA --out " + out("large.npy"));
  EXPECT_EQ(outcome.exit_code, 1) << outcome.err;
  EXPECT_NE(outcome.err.find("large.npy: File too large"), std::string::npos) << outcome.err;
  EXPECT_FALSE(fs::exists(out("large.npy")));
}

TEST_F(CiOutput, ResultsGoIntoPipesAndOpenFiles) {
  const auto piped = shell("$UNLABEL check $DATA --json >(cat > " + out("piped.json") + "); wait");
  EXPECT_EQ(piped.exit_code, 0) << piped.err;
  EXPECT_TRUE(until([] { return fs::exists(out("piped.json")) && fs::file_size(out("piped.json")) > 0; }));
  EXPECT_EQ(nlohmann::json::parse(read_bytes(out("piped.json"))).at("ok"), 80);
  const auto block =
      shell("{ echo before; $UNLABEL check $DATA --json /dev/stdout; echo after; } > " + out("block.txt"));
  EXPECT_EQ(block.exit_code, 0) << block.err;
  const auto text = read_bytes(out("block.txt"));
  EXPECT_TRUE(text.starts_with("before\n") && text.ends_with("}\nafter\n")) << text;
  EXPECT_NE(text.find("\"ok\": 80"), std::string::npos) << text;
}

TEST_F(CiOutput, WhatCannotBeWrittenIsRefusedBeforeTheWork) {
  const auto wrong = [](const Arguments& arguments) {
    const auto outcome = unlabel(arguments, inject::variables({{"open", out("data") + "/train", EIO}}));
    EXPECT_EQ(outcome.exit_code, 2) << arguments[0] << ": " << outcome.err;
    EXPECT_TRUE(outcome.one_line()) << outcome.err;
  };
  fs::create_directories(out("folder.json/x"));
  fs::create_directories(out("folder.png/x"));
  fs::create_directories(out("folder.npy/x"));
  const std::string json = out("folder.json"), data = out("data");
  wrong({"check", data, "--json", json});
  wrong({"pack", data, "--out", out("packed"), "--json", json});
  wrong({"info", data, "--json", json});
  wrong({"knn", "--pixels", "--data", data, "--json", json});
  wrong({"linear", "--pixels", "--data", data, "--json", json});
  wrong({"embed", "--pixels", "--data", data, "--out", out("folder.npy")});
  wrong({"embed", "--pixels", "--data", data, "--out", out("a.csv")});
  wrong(train("not-begun") + Arguments{"--json", json});
  wrong({"augment", "preview", data + "/train/class0/00000.png", "--out", out("folder.png")});
  wrong({"augment", "bench", data, "--json", json});
  data::write_file(out("file"), "");
  wrong(train("file"));
  wrong({"pack", data, "--out", out("file")});
  data::write_file(out("vectors.jsonl"), "mine");
  wrong({"embed", "--pixels", "--data", data, "--out", out("vectors.npy")});
  EXPECT_EQ(read_bytes(out("vectors.jsonl")), "mine");
  // What the command reads itself, or writes twice, or what a run needs.
  const std::string weights = out("weights.safetensors"), link = out("link.json"), photo = out("photo.png");
  data::write_file(weights, "weights");
  fs::create_symlink("weights.safetensors", link);
  fs::copy(data + "/train/class0/00000.png", photo);
  const auto picture = read_bytes(photo);
  wrong({"info", weights, "--json", weights});
  wrong({"knn", "--checkpoint", weights, "--data", data, "--json", link});
  wrong({"linear", "--checkpoint", weights, "--data", data, "--json", link});
  wrong({"embed", "--checkpoint", weights, "--data", data, "--out", weights});
  for (const char* name : {"twice.npy", "twice.jsonl", "twice.labels.npy"})
    wrong({"embed", "--pixels", "--data", data, "--out", out("twice.npy"), "--json", out(name)});
  wrong({"augment", "preview", photo, "--out", photo});
  wrong({"augment", "preview", photo, "--out", out("sheet.png"), "--json", out("sheet.png")});
  wrong(train("not-begun") + Arguments{"--recipe", weights, "--json", link});
  wrong(train("file-of-run") + Arguments{"--json", out("not-there-yet/../file-of-run/metrics.jsonl")});
  // An image of the data, through a link too; and the views of a preview.
  fs::create_directory_symlink("data", out("data-link"));
  const std::string image = out("data-link") + "/train/class0/00000.png";
  wrong({"check", data, "--json", image});
  wrong({"pack", data, "--out", out("packed"), "--json", image});
  wrong({"augment", "bench", data, "--json", image});
  wrong({"knn", "--pixels", "--data", data, "--json", image});
  wrong({"linear", "--pixels", "--train", "folder:" + data, "--test", data, "--json", image});
  wrong({"embed", "--pixels", "--test", data, "--out", out("new.npy"), "--json", image});
  wrong(train("not-begun") + Arguments{"--json", image});
  wrong(train("not-begun") + Arguments{"--json", image, "--explain"});
  data::write_file(out("views.json"), "{}");
  wrong({"augment", "preview", photo, "--views", out("views.json"), "--out", out("sheet.png"), "--json",
         out("views.json")});
  EXPECT_EQ(read_bytes(out("views.json")), "{}");
  EXPECT_EQ(read_bytes(image), picture);
  EXPECT_EQ(read_bytes(weights), "weights");
  EXPECT_EQ(read_bytes(photo), picture);
  EXPECT_FALSE(fs::exists(out("not-begun")));
}

TEST_F(CiOutput, EmbeddingsAreReplacedTogether) {
  const Arguments embed{"embed", "--pixels", "--data", out("data"), "--out", out("e.npy")};
  ASSERT_EQ(unlabel(embed).exit_code, 0);
  const auto before = read_bytes(out("e.npy")), rows = read_bytes(out("e.jsonl"));
  const auto again = unlabel(embed + Arguments{"--size", "8"}, inject::variables({{"rename", "e.jsonl", EIO, 0, 1}}));
  EXPECT_EQ(again.exit_code, 1) << again.err;
  EXPECT_EQ(read_bytes(out("e.npy")), before);
  EXPECT_EQ(read_bytes(out("e.jsonl")), rows);
}

TEST_F(CiOutput, ARunOutlivesTheReaderOfItsMessages) {
  const auto gone = shell("$UNLABEL \"$@\" 2>&1 | head -1 > /dev/null; exit ${PIPESTATUS[0]}");
  EXPECT_EQ(gone.exit_code, 2) << "no command: wrong use, and no signal";
  std::string line = "set -o pipefail; $UNLABEL";
  for (const auto& argument : train("piped", {{"--max-steps", "8"}})) line += " '" + argument + "'";
  EXPECT_EQ(shell("{ " + line + "; echo $? > " + out("code") + "; } 2>&1 | head -1 > /dev/null").exit_code, 0);
  EXPECT_EQ(read_bytes(out("code")), "0\n");
  EXPECT_TRUE(fs::exists(out("piped/encoder.safetensors")));
}

TEST_F(CiOutput, AStopWithoutAReaderSavesAndEndsWith75) {
  std::string line = "$UNLABEL";
  for (const auto& argument : train("stopped", {{"--epochs", "2000"}, {"--checkpoint.every", "0"}}))
    line += " '" + argument + "'";
  // The reader ends with the first line.
  Program program({"bash", "-c", line + " 2> >(head -1 > /dev/null) & echo $! > " + out("id") + "; wait $!"},
                  {{"UNLABEL", UNLABEL_BINARY_DIR "/unlabel"}});
  const auto log = out("stopped/metrics.jsonl");
  ASSERT_TRUE(until([&] { return fs::exists(log) && fs::file_size(log) > 0; })) << program.errors_so_far();
  ::kill(std::stoi(read_bytes(out("id"))), SIGTERM);
  EXPECT_EQ(program.wait().exit_code, 75);
  EXPECT_TRUE(newest_checkpoint(out("stopped/checkpoints")));
}

TEST_F(CiOutput, ClosedStandardFilesTakeNoPartOfTheRunsFiles) {
  std::string line = "exec $UNLABEL";
  for (const auto& argument : train("closed", {{"--max-steps", "4"}})) line += " '" + argument + "'";
  EXPECT_EQ(shell(line + " <&- >&- 2>&-").exit_code, 0);
  EXPECT_EQ(read_lines(out("closed/metrics.jsonl")).size(), 4u);
}

TEST_F(CiOutput, AnImageThatCannotBeReadNowIsNoBrokenImage) {
  const auto flag = out("no-disk");
  data::write_file(flag, "");
  // The survey of sizes at the start reads it once.
  const auto faults = inject::variables({{"read", "class1/00001.png", EIO, /*skip=*/1, -1, 0, flag}});
  const auto ended =
      unlabel(train("unreachable", {{"--timeout", "2"}, {"--augment.global-size", "16"}, {"--epochs", "2"}}), faults);
  EXPECT_EQ(ended.exit_code, 1) << ended.err;
  EXPECT_NE(ended.err.find("class1/00001.png: Input/output error"), std::string::npos) << ended.err;
  EXPECT_TRUE(!fs::exists(out("unreachable/replaced.jsonl")) || read_bytes(out("unreachable/replaced.jsonl")).empty());

  // A disk that comes back is waited for, and a stop does not wait for one.
  Program waits(Arguments{UNLABEL_BINARY_DIR "/unlabel"} + train("waited", {{"--epochs", "2"}}), faults);
  ASSERT_TRUE(until([&] { return fs::exists(out("waited/metrics.jsonl")); })) << waits.errors_so_far();
  std::this_thread::sleep_for(std::chrono::seconds(1));
  fs::remove(flag);
  const auto waited = waits.wait();
  EXPECT_EQ(waited.exit_code, 0) << waited.err;
  EXPECT_EQ(unlabel(train("straight", {{"--epochs", "2"}})).exit_code, 0);
  EXPECT_EQ(read_bytes(out("waited/encoder.safetensors")), read_bytes(out("straight/encoder.safetensors")));

  data::write_file(flag, "");
  Program stops(Arguments{UNLABEL_BINARY_DIR "/unlabel"} + train("stops", {{"--epochs", "2"}}), faults);
  ASSERT_TRUE(until([&] { return fs::exists(out("stops/metrics.jsonl")); })) << stops.errors_so_far();
  std::this_thread::sleep_for(std::chrono::seconds(1));
  stops.signal(SIGTERM);
  EXPECT_EQ(stops.wait().exit_code, 75);
  EXPECT_TRUE(newest_checkpoint(out("stops/checkpoints")));
  fs::remove(flag);
  EXPECT_EQ(unlabel(train("stops", {{"--epochs", "2"}})).exit_code, 0);
  EXPECT_EQ(read_bytes(out("stops/encoder.safetensors")), read_bytes(out("straight/encoder.safetensors")));
}

TEST_F(CiOutput, ARunWhoseFolderIsAnothersEndsAndWritesNothingThere) {
  Program first(Arguments{UNLABEL_BINARY_DIR "/unlabel"} +
                train("taken", {{"--epochs", "3000"}, {"--checkpoint.every", "20"}, {"--seed", "5"}}));
  const auto log = out("taken/metrics.jsonl");
  ASSERT_TRUE(until([&] { return fs::exists(log) && fs::file_size(log) > 0; })) << first.errors_so_far();
  fs::rename(out("taken"), out("moved"));
  const auto second = unlabel(train("taken", {{"--seed", "6"}, {"--max-steps", "4"}}));
  EXPECT_EQ(second.exit_code, 0) << second.err;
  const auto ended = first.wait();
  EXPECT_EQ(ended.exit_code, 1) << ended.err;
  EXPECT_NE(ended.err.find("warning: the folder " + out("taken")), std::string::npos) << ended.err;
  EXPECT_EQ(list_checkpoints(out("taken/checkpoints")).size(), 1u);
  EXPECT_EQ(unlabel(train("taken", {{"--seed", "6"}, {"--max-steps", "8"}})).exit_code, 0);
}

TEST_F(CiOutput, WeightsOfTheUserInTheRunFolderAreKept) {
  ASSERT_EQ(unlabel(train("source", {{"--max-steps", "4"}})).exit_code, 0);
  const auto weights = read_bytes(out("source/encoder.safetensors"));
  fs::create_directory(out("models"));
  data::write_file(out("models/encoder.safetensors"), weights);
  const auto refused = unlabel(train("models", {{"--init", out("models/encoder.safetensors")}}));
  EXPECT_EQ(refused.exit_code, 2) << refused.err;
  EXPECT_TRUE(refused.one_line()) << refused.err;
  EXPECT_EQ(read_bytes(out("models/encoder.safetensors")), weights);
  // Beside a checkpoint: that of this run is replaced, another is kept under another name.
  EXPECT_EQ(unlabel(train("source", {{"--max-steps", "6"}})).exit_code, 0);
  EXPECT_NE(read_bytes(out("source/encoder.safetensors")), weights);
  data::write_file(out("source/encoder.safetensors"), weights);
  const auto other = unlabel(train("source", {{"--max-steps", "8"}}));
  EXPECT_EQ(other.exit_code, 0) << other.err;
  EXPECT_TRUE(read_bytes(out("source/encoder-1.safetensors")) == weights);
  EXPECT_FALSE(read_bytes(out("source/encoder.safetensors")) == weights);
  // Nor does a run that is done already write over it.
  data::write_file(out("source/encoder.safetensors"), weights);
  const auto done = unlabel(train("source", {{"--max-steps", "8"}}));
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_NE(done.err.find("it is kept as " + out("source/encoder-2.safetensors")), std::string::npos) << done.err;
  EXPECT_TRUE(read_bytes(out("source/encoder-2.safetensors")) == weights);
}

TEST_F(CiOutput, AnEmptyFolderIsPackedInto) {
  fs::create_directories(out("empty"));
  fs::create_directory_symlink("empty", out("link"));
  const auto outcome = unlabel({"pack", out("data"), "--out", out("link")});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_TRUE(fs::is_symlink(out("link")));
  EXPECT_TRUE(fs::exists(out("empty/train-000000.tar")));
  fs::create_directories(out("mount"));
  const auto mounted = unlabel(
      {"pack", out("data"), "--out", out("mount")},
      inject::variables({{"rename", "mount.unfinished", EBUSY}, {"open", out("data") + "/train/class0/0", EIO}}));
  EXPECT_EQ(mounted.exit_code, 2) << mounted.err;
  EXPECT_TRUE(fs::is_empty(out("mount")));
}

}  // namespace
}  // namespace unlabel::launch
