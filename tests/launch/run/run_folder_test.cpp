#include <unlabel/augment/error.h>
#include <unlabel/launch/run/run_folder.h>

#include "data/temp_folder.h"
#include "inject/faults.h"
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>

namespace unlabel::launch {
namespace {

namespace fs = std::filesystem;
using data::TempFolder;
using inject::Faults;

TEST(RunFolderLock, OnlyALockThatIsHeldMeansAnotherRun) {
  for (const int error : {ENOSYS, ENOLCK, EOPNOTSUPP}) {
    const TempFolder folder;
    const Faults faults({{"flock", ".lock", error}});
    const RunFolder run(folder / "run", 0);
    EXPECT_NE(run.warning().find("has no locks"), std::string::npos) << run.warning();
    EXPECT_EQ(faults.injected(), 1);
  }
  const TempFolder folder;
  {
    const Faults faults({{"flock", ".lock", EIO}});
    EXPECT_THROW(RunFolder(folder / "run", 0), IoError);
  }
  {
    const Faults faults({{"flock", ".lock", EINTR, 0, 2}});
    EXPECT_EQ(RunFolder(folder / "run", 0).warning(), "");
  }
  const Faults faults({{"flock", ".lock", EWOULDBLOCK}});
  EXPECT_THROWS_WITH(RunFolder(folder / "run", 0), UsageError, "in use by another run");
}

TEST(RunFolderLock, ADiskThatDoesNotAnswerIsNoMistakeOfTheUsers) {
  for (const char* call : {"open", "write"}) {
    const data::TempFolder folder;
    const inject::Faults faults({{.call = call, .path = ".lock", .error = ESTALE}});
    EXPECT_THROW(RunFolder(folder.path(), 0, false), IoError) << call;
    EXPECT_FALSE(std::filesystem::exists(folder / ".lock")) << call;
  }
  const data::TempFolder folder;
  const inject::Faults faults({{.call = "mkdir", .path = "run", .error = EIO}});
  EXPECT_THROW(RunFolder(folder / "run", 0, false), IoError);
}

TEST(RunFolderLock, AFullDiskLeavesNoLock) {
  const data::TempFolder folder;
  const inject::Faults faults({{.call = "write", .path = ".lock", .error = ENOSPC}});
  EXPECT_THROWS_WITH(RunFolder(folder.path(), 0, false), Error, "cannot write there");
  EXPECT_FALSE(std::filesystem::exists(folder / ".lock"));
}

TEST(RunFolderLock, AnEmptyLockOfTheUsersStays) {
  const data::TempFolder folder;
  folder.write(".lock", std::string_view(""));
  folder.write("encoder.safetensors", std::string_view("mine"));
  EXPECT_THROW(RunFolder(folder.path(), 0, false), UsageError);
  EXPECT_TRUE(std::filesystem::exists(folder / ".lock"));
  std::filesystem::remove(folder / ".lock");
  EXPECT_THROW(RunFolder(folder.path(), 0, false), UsageError);
  EXPECT_FALSE(std::filesystem::exists(folder / ".lock")) << "what stands there is as it was";
}

TEST(RunFolderLock, NeverWritesThroughALinkOrIntoAnothersFile) {
  const TempFolder folder;
  folder.write("mine", "precious");
  for (const bool hard : {false, true}) {
    const auto run = folder / (hard ? "hard" : "soft");
    fs::create_directory(run);
    hard ? fs::create_hard_link(folder / "mine", run + "/.lock") : fs::create_symlink(folder / "mine", run + "/.lock");
    EXPECT_THROWS_WITH(RunFolder(run, 0), UsageError, ".lock there is");
  }
  EXPECT_EQ(data::read_text_file(folder / "mine"), "precious");
  folder.write("other/.lock", "of another program");
  EXPECT_THROWS_WITH(RunFolder(folder / "other", 0), UsageError, "was not written by a run");
  EXPECT_EQ(data::read_text_file(folder / "other/.lock"), "of another program");
  fs::create_directory(folder / "pipe");
  ASSERT_EQ(mkfifo((folder / "pipe/.lock").c_str(), 0600), 0);
  EXPECT_THROWS_WITH(RunFolder(folder / "pipe", 0), UsageError, "was not written by a run");
}

TEST(RunFolderFiles, ThoseOfTheUserAreKept) {
  for (const char* name :
       {"encoder.safetensors", "config.json", "metrics.jsonl", "replaced.jsonl", "nonfinite.jsonl", "data_files.gz"}) {
    const TempFolder folder;
    folder.write(name, "precious");
    for (const char* attempt : {"first", "second"}) {
      EXPECT_THROWS_WITH(RunFolder(folder.path(), 0), UsageError, name);
      EXPECT_EQ(data::read_text_file(folder / name), "precious") << attempt;
      EXPECT_FALSE(fs::exists(folder / ".lock")) << attempt;
    }
    fs::remove(folder / name);
    folder.write("elsewhere", "precious");
    fs::create_symlink("elsewhere", folder / name);
    for (const bool has_checkpoint : {false, true})
      EXPECT_THROWS_WITH(RunFolder(folder.path(), 0, has_checkpoint), UsageError, "not a regular file");
    EXPECT_EQ(data::read_text_file(folder / "elsewhere"), "precious");
  }
}

TEST(RunFolderFiles, ARunThatWasStoppedBeforeItsFirstCheckpointBeginsAnew) {
  const TempFolder folder;
  { const RunFolder run(folder.path(), 0); }
  folder.write("config.json", "{}");
  folder.write("metrics.jsonl", "{}\n");
  { const RunFolder run(folder.path(), 0); }
  folder.write("encoder.safetensors", "x");
  EXPECT_THROWS_WITH(RunFolder(folder.path(), 0), UsageError, "no checkpoint shows that this run wrote it");
  const RunFolder goes_on(folder.path(), 0, /*has_checkpoint=*/true);
}

TEST(RunFolderFiles, WhatAKillHasLeftIsRemoved) {
  const TempFolder folder;
  { const RunFolder run(folder.path(), 0); }
  for (const char* name : {"encoder.safetensors.tmp-123", "config.json.tmp-4", "data_files.gz.tmp-5"})
    folder.write(name, "half");
  for (const char* name : {"notes.txt.tmp-6", "config.json.tmp-old", "encoder.safetensors.bak"})
    folder.write(name, "mine");
  fs::create_directory(folder / "config.json.tmp-7");
  const RunFolder run(folder.path(), 0);
  for (const char* name : {"encoder.safetensors.tmp-123", "config.json.tmp-4", "data_files.gz.tmp-5"})
    EXPECT_FALSE(fs::exists(folder / name)) << name;
  for (const char* name : {"notes.txt.tmp-6", "config.json.tmp-old", "encoder.safetensors.bak", "config.json.tmp-7"})
    EXPECT_TRUE(fs::exists(folder / name)) << name;
}

TEST(RunFolderLock, NoticesThatTheFolderHasGoneOrIsAnothers) {
  const TempFolder folder;
  const RunFolder run(folder / "run", 0);
  run.require_ours();
  {
    const Faults faults({{"stat", "run/.lock", ESTALE}});
    run.require_ours();
    EXPECT_EQ(faults.injected(), 1) << "a disk that does not answer says nothing";
  }
  fs::remove_all(folder / "run");
  EXPECT_THROWS_WITH(run.require_ours(), Error, "removed");
  const RunFolder other(folder / "run", 0);
  EXPECT_THROWS_WITH(run.require_ours(), Error, "taken over by another run");
  other.require_ours();
}

TEST(RunFolderLock, ACopyByHardLinksHasItsOwn) {
  const TempFolder folder;
  { const RunFolder run(folder / "run", 0); }
  fs::create_directory(folder / "copy");
  fs::create_hard_link(folder / "run/.lock", folder / "copy/.lock");
  {
    const RunFolder run(folder / "run", 0);
    run.require_ours();
    const RunFolder copy(folder / "copy", 0);
    copy.require_ours();
    EXPECT_FALSE(fs::equivalent(folder / "run/.lock", folder / "copy/.lock"));
    EXPECT_THROWS_WITH(RunFolder(folder / "run", 0), UsageError, "in use");
  }
  // Not while the other holds it, and not what is no run's.
  fs::create_directory(folder / "third");
  const RunFolder run(folder / "run", 0);
  fs::create_hard_link(folder / "run/.lock", folder / "third/.lock");
  EXPECT_THROWS_WITH(RunFolder(folder / "third", 0), UsageError, "in use");
  run.require_ours();
  folder.write("mine", "precious");
  fs::create_directory(folder / "fourth");
  fs::create_hard_link(folder / "mine", folder / "fourth/.lock");
  EXPECT_THROWS_WITH(RunFolder(folder / "fourth", 0), UsageError, "a hard link");
  EXPECT_TRUE(fs::exists(folder / "fourth/.lock"));
}

TEST(RunFolderFiles, AreKnownByTheirPlace) {
  const TempFolder folder;
  { const RunFolder run(folder / "run", 0); }
  fs::create_directory_symlink("run", folder / "link");
  for (const char* file : {"run/step/manifest.json", "run/step/training.json", "web/manifest.json"})
    folder.write(file, "{}");
  for (const char* file :
       {"run/metrics.jsonl", "run/.lock", "link/encoder.safetensors", "run/x/../config.json", "run/checkpoints",
        "run/events.out.tfevents.1.host", "run/step/state.safetensors", "run/step/manifest.json", "run/step/new.json"})
    EXPECT_TRUE(is_file_of_run(folder / file)) << file;
  for (const char* file : {"run/result.json", "metrics.jsonl", "run/x/metrics.jsonl", "state.safetensors",
                           "web/manifest.json", "web/training.json"})
    EXPECT_FALSE(is_file_of_run(folder / file)) << file;
  EXPECT_TRUE(is_file_of_run(folder / "to-come/metrics.jsonl", folder / "to-come"));
  EXPECT_FALSE(is_file_of_run(folder / "to-come/metrics.jsonl", folder / "other"));
}

TEST(RunFolderFiles, CheckpointsThatCannotBeWrittenAreToldAtOnce) {
  const TempFolder folder;
  fs::create_directory(folder / "run");
  fs::create_symlink("nowhere", folder / "run/checkpoints");
  EXPECT_THROWS_WITH(RunFolder(folder / "run", 0), UsageError, "checkpoints is a broken symbolic link");
  fs::remove(folder / "run/checkpoints");
  fs::create_directory(folder / "run/checkpoints");
  for (const int error : {EACCES, EROFS}) {
    const Faults faults({{"access", "run/checkpoints", error}});
    EXPECT_THROWS_WITH(RunFolder(folder / "run", 0), UsageError,
                       std::string("checkpoints cannot be written there: ") + std::strerror(error));
    EXPECT_EQ(faults.injected(), 1);
  }
}

TEST(JsonLines, ACopyByHardLinksKeepsItsLines) {
  const TempFolder folder;
  folder.write("metrics.jsonl", "{\"iteration\":0}\n{\"iteration\":1}\n");
  fs::create_hard_link(folder / "metrics.jsonl", folder / "copy.jsonl");
  JsonLines::cut(folder / "metrics.jsonl", "iteration", 1);
  EXPECT_EQ(data::read_text_file(folder / "metrics.jsonl"), "{\"iteration\":0}\n");
  fs::remove(folder / "metrics.jsonl");
  fs::create_hard_link(folder / "copy.jsonl", folder / "metrics.jsonl");
  EXPECT_TRUE(JsonLines(folder / "metrics.jsonl").append({{"iteration", 2}}));
  EXPECT_EQ(data::read_text_file(folder / "metrics.jsonl"),
            "{\"iteration\":0}\n{\"iteration\":1}\n{\"iteration\":2}\n");
  EXPECT_EQ(data::read_text_file(folder / "copy.jsonl"), "{\"iteration\":0}\n{\"iteration\":1}\n");
}

TEST(JsonLines, AreNeverWrittenThroughALink) {
  const TempFolder folder;
  folder.write("mine", "precious");
  fs::create_symlink(folder / "mine", folder / "metrics.jsonl");
  EXPECT_THROW(JsonLines(folder / "metrics.jsonl"), Error);
  EXPECT_EQ(data::read_text_file(folder / "mine"), "precious");
}

}  // namespace
}  // namespace unlabel::launch
