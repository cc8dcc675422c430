#include <unlabel/augment/error.h>
#include <unlabel/launch/checkpoint/checkpoint_files.h>
#include <unlabel/launch/checkpoint/checkpoint_writer.h>

#include "data/temp_folder.h"
#include "inject/faults.h"
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

namespace unlabel::launch {
namespace {

namespace fs = std::filesystem;
using data::TempFolder;

CheckpointFiles files_at(std::int64_t iteration, std::size_t size = 100) {
  return {iteration, std::vector<char>(size, static_cast<char>('a' + iteration % 26)), {{"seed", 7}}};
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

TEST(CheckpointFiles, KeepsTheLastOnesAndEveryMthAndLeavesNothingElse) {
  const TempFolder folder;
  for (int i = 1; i <= 7; ++i) write_checkpoint_files(folder.path(), files_at(i), {.last = 2, .every = 3});
  EXPECT_EQ(names_in(folder.path()),
            (std::vector<std::string>{"latest", "step-00000003", "step-00000006", "step-00000007"}));
  EXPECT_EQ(fs::read_symlink(folder / "latest"), "step-00000007");
  EXPECT_EQ(newest_checkpoint(folder.path()), 7);
  const auto training = verify_checkpoint(folder / "latest");
  EXPECT_EQ(training.at("iteration"), 7);
  EXPECT_EQ(training.at("seed"), 7);
  EXPECT_EQ(data::read_text_file(state_file(folder / "latest")), std::string(100, 'h'));
}

TEST(CheckpointFiles, NeverRemovesTheOneJustWritten) {
  const TempFolder folder;
  const Retention one{.last = 1};
  for (const int step : {4, 9}) write_checkpoint_files(folder.path(), files_at(step), {});
  fs::resize_file(folder / "step-00000009/state.safetensors", 5);  // damaged: the run goes on from 4
  EXPECT_THROW(verify_checkpoint(folder / "step-00000009"), Error);
  quarantine_damaged(folder.path(), 4);
  write_checkpoint_files(folder.path(), files_at(5), one);
  EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"damaged-step-00000009", "latest", "step-00000005"}));
  write_checkpoint_files(folder.path(), files_at(9), one);
  EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"damaged-step-00000009", "latest", "step-00000009"}));
  EXPECT_EQ(verify_checkpoint(folder / "latest").at("iteration"), 9);
}

TEST(CheckpointFiles, WhatIsDamagedIsNamed) {
  struct Damage {
    const char* file;
    const char* bytes;
    const char* says;
  };
  const std::string deep = R"({"files": {}, "format": )" + std::string(200000, '[') + std::string(200000, ']') + "}";
  for (const Damage& damage :
       {Damage{"manifest.json", "{", "manifest.json: line 1, column 1 is not valid JSON"},
        Damage{"manifest.json", R"({"files": 3})", "manifest.json is damaged: 'files' is no object but 3"},
        Damage{"manifest.json", R"({"files": {}, "format": 2})", "format 2; this program reads 1"},
        Damage{"manifest.json", R"({"files": {}, "format": "x"})", "format \"x\""},
        Damage{"manifest.json", R"({"files": {}, "format": 1})", "state.safetensors is damaged"},
        Damage{"manifest.json", deep.c_str(), "manifest.json: the JSON nests too deeply"},
        Damage{"state.safetensors", "", "state.safetensors is damaged"},
        Damage{"training.json", "{}", "training.json is damaged"}}) {
    const TempFolder folder;
    write_checkpoint_files(folder.path(), files_at(3), {});
    folder.write(std::string("step-00000003/") + damage.file, std::string_view(damage.bytes));
    EXPECT_THROWS_WITH(verify_checkpoint(folder / "step-00000003"), Error, damage.says);
  }
  const TempFolder folder;
  write_checkpoint_files(folder.path(), files_at(3), {});
  fs::remove(folder / "step-00000003/training.json");
  EXPECT_THROWS_WITH(verify_checkpoint(folder / "step-00000003"), Error, "training.json");
}

TEST(CheckpointFiles, WhatIsNoRegularFileIsDamaged) {
  for (const char* name : {"manifest.json", "training.json", "state.safetensors"}) {
    for (const std::string kind : {"folder", "device", "pipe"}) {
      const TempFolder folder;
      for (const int step : {3, 4}) write_checkpoint_files(folder.path(), files_at(step), {});
      const auto file = folder / "step-00000004/" + name;
      fs::remove(file);
      if (kind == "folder") fs::create_directory(file);
      if (kind == "device") fs::create_symlink("/dev/zero", file);
      if (kind == "pipe") {
        ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
      }
      EXPECT_THROWS_WITH(verify_checkpoint(folder / "step-00000004"), Error, "is damaged");
    }
  }
}

TEST(CheckpointFiles, WhatIsNotOurOwnStays) {
  const TempFolder folder;
  folder.write("step-2/mine", std::string_view("precious"));
  folder.write("latest", std::string_view("precious"));
  for (int i = 1; i <= 4; ++i) write_checkpoint_files(folder.path(), files_at(i), {.last = 1});
  EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"latest", "step-00000004", "step-2"}));
  EXPECT_EQ(data::read_text_file(folder / "latest"), "precious");
  EXPECT_EQ(data::read_text_file(folder / "step-2/mine"), "precious");
  EXPECT_EQ(newest_checkpoint(folder.path()), 4);
}

TEST(CheckpointFiles, OneThatCannotBeReadNowIsNotDamaged) {
  const TempFolder folder;
  write_checkpoint_files(folder.path(), files_at(1), {});
  const auto one = list_checkpoints(folder.path()).front().second;
  for (const char* file : {"manifest.json", "training.json", "state.safetensors"})
    for (const char* call : {"open", "read"}) {
      const inject::Faults denied({{call, file, EACCES}});
      EXPECT_THROW(verify_checkpoint(one), UnreadableCheckpoint) << call << " " << file;
    }
  {
    const inject::Faults once({{"read", "manifest.json", EIO, 0, 1}, {"read", "training.json", ESTALE, 0, 1}});
    verify_checkpoint(one);
    EXPECT_EQ(once.injected(0) + once.injected(1), 2);
  }
  {
    const inject::Faults always({{"read", "manifest.json", EIO}});
    EXPECT_THROW(verify_checkpoint(one), IoError);
  }
  {
    const inject::Faults many({{"open", "manifest.json", EMFILE}});
    EXPECT_THROWS_WITH(verify_checkpoint(one), UsageError, "ulimit -n");
  }
  {
    const inject::Faults unseen({{"stat", "manifest.json", EACCES}});
    EXPECT_THROW(is_checkpoint(one), UnreadableCheckpoint);
    EXPECT_THROW(newest_checkpoint(folder.path()), UnreadableCheckpoint);
  }
  {
    const inject::Faults unlisted({{"readdir", folder.path(), EIO}});
    EXPECT_THROW(list_checkpoints(folder.path()), IoError);
  }
  fs::remove(one + "/manifest.json");
  EXPECT_FALSE(is_checkpoint(one));
  folder.write("file", "x");
  EXPECT_THROWS_WITH(list_checkpoints(folder / "file/checkpoints"), UsageError, "name a folder");
}

TEST(CheckpointFiles, AWholeOneOfTheSameStepStays) {
  const TempFolder folder;
  const auto place = folder / "step-00000001";
  write_checkpoint_files(folder.path(), files_at(1), {});
  struct stat before {
  }, after{};
  ASSERT_EQ(::stat(place.c_str(), &before), 0);
  {
    const inject::Faults faults({{.call = "rename", .path = "step-00000001-old", .error = EIO}});
    write_checkpoint_files(folder.path(), files_at(1), {});
    EXPECT_EQ(faults.injected(), 0) << "it is never away";
  }
  ASSERT_EQ(::stat(place.c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"latest", "step-00000001"}));
  // One that cannot be read now is not replaced, and a damaged one is.
  {
    const inject::Faults faults({{.call = "read", .path = "step-00000001/state", .error = EIO}});
    EXPECT_THROW(write_checkpoint_files(folder.path(), files_at(1), {}), Error);
  }
  folder.write("step-00000001/training.json", std::string_view("{}"));
  write_checkpoint_files(folder.path(), files_at(1), {});
  EXPECT_EQ(verify_checkpoint(place).at("iteration"), 1);
}

TEST(CheckpointFiles, WhatCannotBeRemovedFailsNoWrite) {
  const TempFolder folder;
  for (const int step : {1, 2}) write_checkpoint_files(folder.path(), files_at(step), {.last = 1});
  const inject::Faults faults({{.call = "readdir", .path = folder.path(), .error = EIO}});
  EXPECT_NO_THROW(write_checkpoint_files(folder.path(), files_at(3), {.last = 1}));
  EXPECT_GT(faults.injected(), 0);
  EXPECT_TRUE(is_checkpoint(folder / "step-00000003"));
}

TEST(CheckpointFiles, OptionsOfOlderProgramsGetWhatTheyMeantThen) {
  const auto of = [](const std::string& augment) {
    return parse_training(R"({"iteration": 1, "options": {"augment": )" + augment + "}}",
                          "training.json")["options"]["augment"];
  };
  EXPECT_EQ(of(R"({"preset": "byol"})")["crop_family"], "torchvision");
  EXPECT_EQ(of(R"({"preset": "byol", "crop_family": null})")["crop_family"], nullptr)
      << "a program that has the option";
  EXPECT_EQ(of(R"({"preset": "byol", "crop_family": "byol"})")["crop_family"], "byol");
  EXPECT_FALSE(of(R"({"preset": "swav"})").contains("crop_family"));
  EXPECT_EQ(of("[]"), nlohmann::json::array());
  const auto views = parse_training(
      R"({"iteration": 1, "views": {"views": [{"count": 1, "pipeline": [{"op": "PadShift", "pad": 4}, {"op": "Normalize"}]}]}})",
      "training.json")["views"];
  EXPECT_EQ(views["views"][0]["pipeline"][0]["op"], "RandomShift");
  EXPECT_EQ(views["views"][0]["pipeline"][1]["op"], "Normalize");
}

TEST(CheckpointFiles, WhatAKilledWriteLeftIsRemoved) {
  const TempFolder folder;
  write_checkpoint_files(folder.path(), files_at(1), {});
  folder.write(".step-00000002.tmp-123/state.safetensors", std::string_view("half"));
  fs::create_symlink("step-00000002", folder / ".latest.tmp-123");
  EXPECT_EQ(newest_checkpoint(folder.path()), 1);
  remove_unfinished_checkpoints(folder.path());
  EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"latest", "step-00000001"}));
  remove_unfinished_checkpoints(folder / "nowhere");
  EXPECT_EQ(newest_checkpoint(folder / "nowhere"), std::nullopt);
  folder.write("file", std::string_view("no folder"));
  EXPECT_THROWS_WITH(newest_checkpoint(folder / "file"), Error, "cannot read ");
}

TEST(CheckpointWriter, DoesItsErrandBeforeEachWriteAndWaitsNoLongerThanAsked) {
  const TempFolder folder;
  std::atomic<bool> go = false;
  std::atomic<int> errands = 0;
  CheckpointWriter writer(folder.path(), {}, [&] {
    ++errands;
    while (!go) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  writer.start([](CheckpointFiles& files) { files = files_at(1); });
  EXPECT_FALSE(writer.wait_for(std::chrono::milliseconds(50)));
  EXPECT_EQ(newest_checkpoint(folder.path()), std::nullopt) << "not before the errand is done";
  go = true;
  writer.wait();
  EXPECT_TRUE(writer.wait_for(std::chrono::milliseconds(0)));
  EXPECT_EQ(newest_checkpoint(folder.path()), 1);
  EXPECT_EQ(errands, 1);
}

TEST(CheckpointWriter, WritesWhileTheCallerGoesOn) {
  const TempFolder folder;
  CheckpointWriter writer(folder.path(), {.last = 3});
  const void* memory = nullptr;
  for (int i = 1; i <= 5; ++i) {
    writer.start([&](CheckpointFiles& files) {
      if (i > 1) {
        EXPECT_EQ(newest_checkpoint(folder.path()), i - 1) << "one at a time";
        EXPECT_EQ(files.state.data(), memory) << "the memory is used again";
        EXPECT_EQ(files.state.size(), 1u << 20);
      }
      files.iteration = i;
      files.state.resize(1 << 20);
      std::fill(files.state.begin(), files.state.end(), static_cast<char>(i));
      files.training = {{"step", i}};
      memory = files.state.data();
    });
  }
  writer.wait();
  EXPECT_EQ(writer.failure(), "");
  EXPECT_EQ(names_in(folder.path()),
            (std::vector<std::string>{"latest", "step-00000003", "step-00000004", "step-00000005"}));
  for (const auto& [step, path] : list_checkpoints(folder.path())) EXPECT_EQ(verify_checkpoint(path).at("step"), step);
}

TEST(CheckpointWriter, TheEndWaitsForAWrite) {
  const TempFolder folder;
  {
    CheckpointWriter writer(folder.path(), {});
    writer.start([](CheckpointFiles& files) { files = files_at(8, 1 << 22); });
  }
  EXPECT_EQ(verify_checkpoint(folder / "latest").at("iteration"), 8);
}

TEST(CheckpointWriter, AFailureIsToldOnceAndTheNextGoesOn) {
  const TempFolder folder;
  folder.write("checkpoints", std::string_view("a file where the folder should be"));
  CheckpointWriter writer(folder / "checkpoints", {});
  writer.start([](CheckpointFiles& files) { files = files_at(1); });
  writer.wait();
  EXPECT_NE(writer.failure().find("cannot write checkpoint"), std::string::npos);
  EXPECT_EQ(writer.failure(), "");
  fs::remove(folder / "checkpoints");
  writer.start([](CheckpointFiles& files) { files = files_at(2); });
  writer.wait();
  EXPECT_EQ(writer.failure(), "");
  EXPECT_EQ(newest_checkpoint(folder / "checkpoints"), 2);
  EXPECT_THROW(writer.start([](CheckpointFiles&) { throw Error("no tensors"); }), Error);
  writer.wait();
  EXPECT_EQ(newest_checkpoint(folder / "checkpoints"), 2) << "nothing was written";
}

TEST(CheckpointWriter, AReaderAlwaysFindsAWholeOne) {
  const TempFolder folder;
  write_checkpoint_files(folder.path(), files_at(0, 1 << 16), {.last = 1});
  std::atomic<bool> done = false;
  std::thread reader([&] {
    std::int64_t seen = 0;
    while (!done) {
      // The link once: between two files of one reading it may be swapped.
      std::error_code gone;
      const auto newest = fs::canonical(folder / "latest", gone).string();
      if (gone) continue;
      try {
        const auto step = verify_checkpoint(newest).at("iteration").get<std::int64_t>();
        EXPECT_GE(step, seen);
        seen = step;
      } catch (const Error& error) {
        EXPECT_FALSE(fs::exists(newest)) << "a slow reader may meet one that has gone, never half of one: "
                                         << error.what();
      }
    }
  });
  CheckpointWriter writer(folder.path(), {.last = 2});
  for (int i = 1; i <= 50; ++i) writer.start([&](CheckpointFiles& files) { files = files_at(i, 1 << 16); });
  writer.wait();
  done = true;
  reader.join();
  EXPECT_EQ(verify_checkpoint(folder / "latest").at("iteration"), 50);
}

}  // namespace
}  // namespace unlabel::launch
