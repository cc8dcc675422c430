// Broken and unreachable are two things: a file that cannot be read this time, against one whose bytes are bad or that is gone.
#include <unlabel/augment/error.h>
#include <unlabel/augment/json_text.h>
#include <unlabel/augment/system_error.h>
#include <unlabel/data/check.h>
#include <unlabel/data/formats.h>
#include <unlabel/data/image/tar.h>
#include <unlabel/data/io/files.h>
#include <unlabel/data/io/retry.h>
#include <unlabel/data/loader.h>

#include "data/temp_folder.h"
#include "inject/faults.h"
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <string>
#include <thread>

namespace unlabel::data {
namespace {

using inject::Faults;
using Milliseconds = std::chrono::milliseconds;

augment::MultiCrop one_view() {
  return augment::MultiCrop::from_json(nlohmann::json::parse(
      R"({"views": [{"count": 1, "pipeline": [{"op": "CenterCrop", "size": 8}, {"op": "Normalize"}]}]})"));
}

/// Four images in a folder; what batches of all of them say.
struct Photos {
  TempFolder folder;
  Photos() {
    for (int i = 0; i < 4; ++i) folder.write_image(std::to_string(i) + ".png", 12, 10, static_cast<std::uint64_t>(i));
  }
  HostBatch load(const LoaderOptions& options) const {
    Loader loader(open_dataset(folder.path(), Split::kTrain), one_view(), options);
    loader.start({0, 1, 2, 3}, 4);
    auto batch = loader.next();
    EXPECT_TRUE(batch);
    return std::move(*batch);
  }
};

TEST(Unreachable, IsToldFromAFaultOfTheFileAndOfTheProcess) {
  for (const int error :
       {EIO, ESTALE, ETIMEDOUT, EREMOTEIO, ENODEV, ENXIO, EHOSTDOWN, EHOSTUNREACH, ENETUNREACH, ENOTCONN, EUCLEAN})
    EXPECT_THROW(throw_system_error("cannot read a", error), IoError) << reason_of(error);
  for (const int error : {EMFILE, ENFILE, ENOMEM})
    EXPECT_THROW(throw_system_error("cannot read a", error), UsageError) << reason_of(error);
  for (const int error : {ENOENT, EACCES, EPERM, ENOTDIR, ELOOP, ENAMETOOLONG, EISDIR, ENOSPC}) {
    EXPECT_EQ(fault_kind(error), FaultKind::kFile) << reason_of(error);
    EXPECT_THROWS_WITH(throw_system_error("cannot read a", error), Error, "cannot read a: " + reason_of(error));
  }
}

TEST(Unreachable, IsTriedAgainUntilPatienceIsOver) {
  int calls = 0;
  const auto third = [&] { return ++calls < 3 ? throw IoError("not yet") : 7; };
  EXPECT_EQ(retry(third), 7);
  EXPECT_EQ(calls, 3);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THROW(retry([] { throw IoError("never"); }, Milliseconds(200)), IoError);
  EXPECT_LE(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
  calls = 0;
  EXPECT_THROW(retry([&] {
                 ++calls;
                 throw Error("broken");
               }),
               Error);
  EXPECT_EQ(calls, 1) << "what is no trouble outside is not tried again";
  EXPECT_LT(2 * retry_time(std::chrono::seconds(600)), std::chrono::seconds(600));
}

TEST(Unreachable, WhatFailsLateIsTriedAgainToo) {
  const auto attempts_of = [](Milliseconds each, Milliseconds retry_time) {
    int attempts = 0;
    EXPECT_THROW(retry(
                     [&] {
                       ++attempts;
                       std::this_thread::sleep_for(each);
                       throw IoError("never");
                     },
                     retry_time),
                 IoError);
    return attempts;
  };
  EXPECT_EQ(attempts_of(Milliseconds(60), Milliseconds(20)), 2) << "one more in any case";
  EXPECT_EQ(attempts_of(Milliseconds(200), Milliseconds(500)), 2) << "a third would end beyond the retry_time";
}

TEST(Unreachable, ABatchWaitsNoLongerForReadsThatFailLate) {
  const Photos photos;
  const auto attempts_of = [&](Milliseconds retry_time) {
    const Faults faults({{.call = "open", .path = ".png", .error = ETIMEDOUT, .delay_milliseconds = 300}});
    LoaderOptions options;
    options.threads = 0;
    options.retry_time = retry_time;
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_THROW(photos.load(options), IoError);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, retry_time + Milliseconds(50));
    return faults.injected();
  };
  EXPECT_EQ(attempts_of(Milliseconds(500)), 1);
  EXPECT_EQ(attempts_of(Milliseconds(900)), 2);
}

TEST(Unreachable, AnInterruptedCallIsMadeAgain) {
  const Photos photos;
  EXPECT_EQ(fault_kind(EINTR), FaultKind::kOutside);
  const Faults faults({{"open", "2.png", EINTR, 0, 3}, {"stat", "3.png", EINTR, 0, 1}});
  const auto dataset = open_dataset(photos.folder.path(), Split::kTrain);
  augment::ImageSource source;
  EXPECT_NO_THROW(dataset->read(2, source));
  EXPECT_EQ(faults.injected(0), 3);
  EXPECT_NO_THROW(dataset->fingerprint());
  EXPECT_EQ(faults.injected(1), 1);
}

TEST(Unreachable, WhatIsMissingIsToldFromWhatCannotBeSeen) {
  const TempFolder folder;
  folder.write("a", "x");
  EXPECT_TRUE(exists(folder / "a"));
  EXPECT_FALSE(exists(folder / "b"));
  EXPECT_FALSE(exists(folder / "a/b"));
  EXPECT_THROWS_WITH(exists(folder / std::string(300, 'n')), Error, "too long");
  const Faults faults({{"stat", folder / "a", EACCES}});
  EXPECT_THROWS_WITH(exists(folder / "a"), Error, "Permission denied");
}

TEST(Unreachable, AnImageIsReadAgainAndNeverReplaced) {
  const Photos photos;
  const auto expected = photos.load({});
  for (const char* call : {"open", "read"})
    for (const int threads : {0, 2}) {
      const Faults faults({{call, "2.png", EIO, 0, 3}, {call, "3.png", ESTALE, 0, 1}});
      LoaderOptions options;
      options.threads = threads;
      const auto batch = photos.load(options);
      EXPECT_TRUE(batch.replacements.empty()) << call;
      EXPECT_EQ(faults.injected(0), 3) << call;
      EXPECT_EQ(faults.injected(1), 1) << call;
      const auto floats = batch.indices.size() * batch.arrays[0].spec.elements();
      EXPECT_TRUE(std::equal(batch.arrays[0].data<float>(), batch.arrays[0].data<float>() + floats,
                             expected.arrays[0].data<float>()));
    }
}

TEST(Unreachable, TroubleThatLastsEndsTheBatch) {
  const Photos photos;
  const Faults faults({{"open", ".png", ETIMEDOUT}});
  LoaderOptions options;
  options.retry_time = Milliseconds(400);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THROWS_WITH(photos.load(options), IoError, "timed out");
  // Of the batch, and not of each of its images.
  EXPECT_LE(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
  EXPECT_GE(faults.injected(), 3);
}

TEST(Unreachable, AnImageThatIsGoneOrNotPermittedIsBroken) {
  const Photos photos;
  for (const int error : {ENOENT, EACCES}) {
    const Faults faults({{"open", "2.png", error}});
    const auto batch = photos.load({});
    ASSERT_EQ(batch.replacements.size(), 1u);
    EXPECT_EQ(batch.replacements[0].index, 2);
    EXPECT_EQ(faults.injected(), 1) << "told at once";
  }
  for (const auto& [error, advice] : {std::pair(EMFILE, "ulimit -n"), std::pair(ENFILE, "fs.file-max")}) {
    const Faults faults({{"open", "2.png", error}});
    EXPECT_THROWS_WITH(photos.load({}), UsageError, advice);
    EXPECT_EQ(faults.injected(), 1) << "told at once";
  }
}

TEST(Unreachable, AWaitingLoaderEndsWhenItIsToldTo) {
  const Photos photos;
  const Faults faults({{"open", "2.png", EIO}});
  LoaderOptions options;
  options.retry_time = std::chrono::hours(1);
  const auto begin = std::chrono::steady_clock::now();
  {
    Loader loader(open_dataset(photos.folder.path(), Split::kTrain), one_view(), options);
    loader.start({0, 1, 2, 3}, 4);
    while (faults.injected() == 0) std::this_thread::sleep_for(Milliseconds(1));
  }  // its end
  std::atomic<bool> stop = false;
  options.stop_retrying = [&] { return stop.load(); };
  std::thread stopper([&] {
    std::this_thread::sleep_for(Milliseconds(200));
    stop = true;
  });
  EXPECT_THROW(photos.load(options), IoError);
  stopper.join();
  EXPECT_LE(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST(Unreachable, ListingsWaitAndThenSaySo) {
  const TempFolder folder;
  for (const char* name : {"train/a/1.png", "train/b/2.png", "val/a/3.png"}) folder.write_image(name);
  const auto size = [&] { return open_dataset(folder.path(), Split::kTrain)->size(); };
  const auto fingerprint = open_dataset(folder.path(), Split::kTrain)->fingerprint();
  for (const char* call : {"readdir", "stat", "open"}) {
    const Faults faults({{call, "/train", EIO, 0, 2}});
    EXPECT_EQ(open_dataset(folder.path(), Split::kTrain)->fingerprint(), fingerprint) << call;
    EXPECT_EQ(faults.injected(), 2) << call;
  }
  const Faults faults({{"readdir", "/train/b", ESTALE}});
  EXPECT_THROW(size(), IoError);
}

TEST(Unreachable, ALimitOfTheProcessChangesNoSplit) {
  const TempFolder folder;
  for (const char* name : {"airplane/1.png", "train/2.png"}) folder.write_image(name);
  ASSERT_EQ(open_dataset(folder.path(), Split::kTrain)->size(), 2) << "two classes";
  for (const int error : {EMFILE, ENFILE, ENOMEM}) {
    const Faults faults({{"open", "/airplane", error}});
    EXPECT_THROW(open_dataset(folder.path(), Split::kTrain), LimitError) << reason_of(error);
    EXPECT_THROW(check_data(folder.path()), LimitError) << reason_of(error);
  }
  for (const int error : {EACCES, EPERM}) {
    const Faults faults({{"open", "/airplane", error}});
    const auto dataset = open_dataset(folder.path(), Split::kTrain);
    EXPECT_EQ(dataset->size(), 1) << "as if it held no images";
    ASSERT_EQ(dataset->notes().size(), 1u);
    EXPECT_NE(dataset->notes()[0].find("airplane/ of " + folder.path() + " may not be read"), std::string::npos);
  }
}

TEST(Unreachable, ALimitOfTheProcessIsNoDamage) {
  const TempFolder folder;
  folder.write("cifar/data_batch_1.bin", std::string(3073, '\0'));
  const std::string header{"\0\0\x08\x03\0\0\0\x01\0\0\0\x02\0\0\0\x02", 16};
  folder.write("idx/train-images-idx3-ubyte", header + "abcd");
  for (const auto& [spec, file] : {std::pair("cifar10:", "/data_batch_1.bin"), std::pair("idx:", "/train-images")}) {
    const auto place = spec + folder / (spec[0] == 'c' ? "cifar" : "idx");
    const Faults faults({{"open", file, EMFILE}});
    EXPECT_THROWS_WITH(check_data(place), LimitError, "ulimit -n");
  }
}

TEST(Unreachable, NamesOfClassesAreReadOrTheirFaultIsTold) {
  const TempFolder folder;
  std::string archive = tar_header("1.png", 5);
  archive.append("image").append(tar_padding(5)).append(tar_header("1.cls", 1));
  archive.append("0").append(tar_padding(1)).append(tar_end());
  folder.write("a.tar", archive);
  folder.write("classes.txt", "cat\n");
  const auto names = [&] { return open_dataset("shards:" + folder.path(), Split::kTrain)->class_names(); };
  for (const char* call : {"stat", "open", "read"}) {
    const Faults faults({{call, "classes.txt", ESTALE, 0, 2}});
    EXPECT_EQ(names(), std::vector<std::string>{"cat"}) << call;
    EXPECT_EQ(faults.injected(), 2) << call;
  }
  std::filesystem::resize_file(folder / "classes.txt", (std::uint64_t{64} << 20) + 1);
  EXPECT_THROWS_WITH(names(), UsageError, "more than the");
  std::filesystem::remove(folder / "classes.txt");
  EXPECT_EQ(names(), std::vector<std::string>{"0"});
}

TEST(Unreachable, ANodeWithoutItsDeviceIsNoFile) {
  const TempFolder folder;
  folder.write_image("1.png");
  if (mknod((folder / "2.png").c_str(), S_IFCHR | 0666, makedev(253, 253)) != 0)
    GTEST_SKIP() << "cannot make a device node here";
  const Faults faults({{"open", ".png", ENXIO}});
  std::vector<std::uint8_t> bytes;
  EXPECT_THROWS_WITH(read_file(AT_FDCWD, (folder / "2.png").c_str(), "2.png", 100, bytes), Error, "not a regular file");
  EXPECT_THROW(read_file(AT_FDCWD, (folder / "1.png").c_str(), "1.png", 100, bytes), IoError);
}

TEST(Unreachable, ASizeThatCannotBeSeenIsNotZero) {
  const TempFolder folder;
  folder.write_image("a/1.png");
  folder.write_image("b/2.png");
  const Faults faults({{"stat", "1.png", EIO}});
  EXPECT_THROW(open_dataset(folder.path(), Split::kTrain)->fingerprint(), IoError);
}

TEST(Unreachable, CheckAndSurveySayNothingOfTheFile) {
  const Photos photos;
  const auto dataset = open_dataset(photos.folder.path(), Split::kTrain);
  {
    const Faults faults({{"read", "2.png", EIO, 0, 1}});
    EXPECT_EQ(check_data(photos.folder.path(), {}).ok, 4);
    EXPECT_EQ(faults.injected(), 1);
  }
  const Faults faults({{"read", "2.png", EIO}});
  EXPECT_THROWS_WITH(check_data(photos.folder.path(), {}), IoError, "2.png");
  EXPECT_THROW(sample_image_sizes(*dataset), IoError);
}

TEST(Unreachable, ArchivesAndFilesOfManyImagesLikewise) {
  const TempFolder folder;
  const std::string image = "image", label = "0";
  std::string archive = tar_header("1.png", image.size());
  archive.append(image).append(tar_padding(image.size())).append(tar_header("1.cls", label.size()));
  archive.append(label).append(tar_padding(label.size())).append(tar_end());
  folder.write("shards/a.tar", archive);
  folder.write("cifar/data_batch_1.bin", std::string(3073, '\0'));
  folder.write("cifar/test_batch.bin", std::string(3073, '\0'));
  const std::string header{"\0\0\x08\x03\0\0\0\x01\0\0\0\x02\0\0\0\x02", 16};
  folder.write("idx/train-images-idx3-ubyte", header + "abcd");
  for (const auto& [spec, file] :
       {std::pair("shards:", "shards"), std::pair("cifar10:", "cifar"), std::pair("idx:", "idx")}) {
    const auto open = [&, &spec = spec, &file = file] { return open_dataset(spec + folder / file, Split::kTrain); };
    ASSERT_EQ(open()->size(), 1) << spec;
    {
      const Faults faults({{"read", folder / file, EIO, 0, 1}});
      EXPECT_EQ(open()->size(), 1) << spec;
      EXPECT_EQ(faults.injected(), 1) << spec;
    }
    const Faults faults({{"read", folder / file, EIO}});
    EXPECT_THROW(open(), IoError) << spec;
  }
  const auto shards = open_dataset("shards:" + folder / "shards", Split::kTrain);
  augment::ImageSource source;
  {
    const Faults faults({{"read", "a.tar", EIO}});
    EXPECT_THROWS_WITH(shards->read(0, source), IoError, "Input/output error");
    EXPECT_EQ(shards->name(0), "a.tar:byte 512") << "a name is no reason to end";
  }
  std::filesystem::resize_file(folder / "shards/a.tar", 514);
  EXPECT_THROWS_WITH(shards->read(0, source), Error, "the file has changed");
}

TEST(Unreachable, SettingsToo) {
  const TempFolder folder;
  folder.write("recipe.json", "{}");
  for (const int error : {EIO, ENOTCONN}) {
    const Faults faults({{"read", "recipe.json", error}});
    EXPECT_THROW(read_json_file(folder / "recipe.json"), IoError) << reason_of(error);
  }
  EXPECT_THROW(read_json_file(folder / "none.json"), UsageError);
}

}  // namespace
}  // namespace unlabel::data
