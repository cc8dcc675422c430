#include <unlabel/augment/error.h>
#include <unlabel/data/check.h>
#include <unlabel/data/formats.h>
#include <unlabel/data/image/cifar10.h>

#include "data/temp_folder.h"
#include "inject/faults.h"
#include "refusal.h"
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <string>

namespace unlabel::data {
namespace {

constexpr std::size_t kRecord = 3073;

/// Records whose label is their number modulo ten, and whose byte at (plane c, pixel p) is c * 50 + p + number, modulo
/// 256.
std::vector<std::uint8_t> records(int first, int count) {
  std::vector<std::uint8_t> bytes;
  for (int r = first; r < first + count; ++r) {
    bytes.push_back(static_cast<std::uint8_t>(r % 10));
    for (int c = 0; c < 3; ++c) {
      for (int p = 0; p < 1024; ++p) bytes.push_back(static_cast<std::uint8_t>(c * 50 + p + r));
    }
  }
  return bytes;
}

TEST(BinaryCifar10, ReadsRecords) {
  const TempFolder folder;
  folder.write("data_batch_2.bin", records(3, 2));
  folder.write("data_batch_1.bin", records(0, 3));
  folder.write("test_batch.bin", records(7, 1));
  const auto train = open_cifar10(folder.path(), Split::kTrain), test = open_cifar10(folder.path(), Split::kTest);
  ASSERT_EQ(train->size(), 5);
  ASSERT_EQ(test->size(), 1);
  EXPECT_EQ(test->label(0), 7);
  augment::ImageSource source;
  source.bytes = {1};
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(train->label(i), i);
    train->read(i, source);
    EXPECT_TRUE(source.bytes.empty());
    ASSERT_EQ(source.pixels.type(), CV_8UC3);
    ASSERT_EQ(source.pixels.size(), cv::Size(32, 32));
    for (const int p : {0, 31, 32, 1023}) {
      const auto pixel = source.pixels.at<cv::Vec3b>(p / 32, p % 32);
      for (int c = 0; c < 3; ++c) EXPECT_EQ(pixel[c], static_cast<std::uint8_t>(c * 50 + p + i));
    }
  }
  EXPECT_EQ(train->name(2), "data_batch_1.bin[2]");
  EXPECT_EQ(train->name(3), "data_batch_2.bin[0]");
  EXPECT_EQ(train->name(4), "data_batch_2.bin[1]");
  EXPECT_NE(train->fingerprint(), test->fingerprint());
  EXPECT_EQ(train->class_names().at(9), "truck");
  EXPECT_THROW(train->read(5, source), UsageError);
}

TEST(BinaryCifar10, FingerprintIsOfWhatTheFilesHold) {
  const TempFolder folder;
  const auto fingerprint = [&] { return open_cifar10(folder.path(), Split::kTrain)->fingerprint(); };
  folder.write("data_batch_1.bin", records(0, 3));
  const auto before = fingerprint();
  EXPECT_EQ(fingerprint(), before);
  folder.write("data_batch_1.bin", records(1, 3));
  EXPECT_NE(fingerprint(), before) << "of the same name and size";
}

TEST(BinaryCifar10, TakesTheNamesAndTheArchivesFolder) {
  const TempFolder folder;
  folder.write("cifar-10-batches-bin/data_batch_1.bin", records(0, 1));
  EXPECT_TRUE(has_cifar10(folder.path(), Split::kTrain));
  EXPECT_FALSE(has_cifar10(folder.path(), Split::kTest));
  folder.write("cifar-10-batches-bin/batches.meta.txt", "a\nb\r\nc\nd\ne\nf\ng\nh\ni\nj\n\n");
  const auto dataset = open_cifar10(folder.path(), Split::kTrain);
  EXPECT_EQ(dataset->class_names(), (std::vector<std::string>{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}));
  folder.write("cifar-10-batches-bin/batches.meta.txt", "a\nb\n");
  EXPECT_THROWS_WITH(open_cifar10(folder.path(), Split::kTrain), UsageError, "names 2 classes");
}

TEST(BinaryCifar10, AFaultOfTheNamesIsToldAndReported) {
  const TempFolder folder;
  folder.write("data_batch_1.bin", records(0, 1));
  const std::string names = "batches.meta.txt";
  const auto expect_told = [&](const std::string& what) {
    const auto place = "cifar10:" + folder.path();
    EXPECT_THROWS_WITH(open_dataset(place, Split::kTrain), UsageError, what);
    EXPECT_THROWS_WITH(open_dataset(place, Split::kTrain), UsageError, "; mend the file or remove it");
    const auto report = check_data(place);
    ASSERT_EQ(report.broken.size(), 1u);
    EXPECT_NE(report.broken[0].reason.find(what), std::string::npos) << report.broken[0].reason;
  };
  folder.write(names, "");
  expect_told("the file is empty");
  folder.write(names, std::string(70000, 'x'));
  expect_told("70000 bytes");
  folder.write(names, "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
  const inject::Faults faults({{"open", names, EACCES}});
  expect_told("Permission denied");
}

TEST(BinaryCifar10, AnotherCopyIsNoHelpWherePermissionIsWanting) {
  const TempFolder folder;
  folder.write("data_batch_1.bin", records(0, 1));
  const auto refused = [&] { return refusal([&] { open_cifar10(folder.path(), Split::kTrain); }); };
  {
    const inject::Faults faults({{"open", "data_batch_1.bin", EACCES}});
    EXPECT_TRUE(refused().ends_with("data_batch_1.bin: Permission denied")) << refused();
  }
  folder.write("data_batch_1.bin", "");
  EXPECT_TRUE(refused().ends_with("the file is empty; fetch the file again")) << refused();
}

TEST(BinaryCifar10, RefusesWhatIsNoSetOfRecords) {
  const TempFolder folder;
  EXPECT_FALSE(has_cifar10(folder.path(), Split::kTrain));
  EXPECT_THROWS_WITH(open_cifar10(folder.path(), Split::kTrain), UsageError, "data_batch_1.bin");
  EXPECT_THROWS_WITH(open_cifar10(folder.path(), Split::kTest), UsageError, "test_batch.bin");
  auto bytes = records(0, 2);
  for (const std::size_t size : {std::size_t{1}, kRecord - 1, kRecord + 1, 2 * kRecord - 1}) {
    folder.write("data_batch_1.bin", std::string_view(reinterpret_cast<const char*>(bytes.data()), size));
    EXPECT_THROWS_WITH(open_cifar10(folder.path(), Split::kTrain), UsageError, "data_batch_1.bin has");
  }
  {
    const inject::Faults faults({{"read", "data_batch_1.bin", 0}});
    EXPECT_THROW(open_cifar10(folder.path(), Split::kTrain), UsageError);
    EXPECT_EQ(faults.injected(), 0) << "nothing is read of a file of a wrong size";
  }
  folder.write("data_batch_1.bin", "");
  EXPECT_THROWS_WITH(open_cifar10(folder.path(), Split::kTrain), UsageError, "empty");
  bytes[kRecord] = 10;
  folder.write("data_batch_1.bin", bytes);
  EXPECT_THROWS_WITH(open_cifar10(folder.path(), Split::kTrain), UsageError, "image 1 the label 10");
  std::filesystem::remove(folder / "data_batch_1.bin");
  std::filesystem::create_directory(folder / "data_batch_1.bin");
  EXPECT_THROWS_WITH(open_cifar10(folder.path(), Split::kTrain), UsageError, "no data_batch_1.bin");
}

TEST(BinaryCifar10, TellsOfBatchesThatAreMissing) {
  const TempFolder folder;
  for (int i = 1; i <= 5; ++i) folder.write(concat("data_batch_", i, ".bin"), records(i, 1));
  EXPECT_TRUE(open_cifar10(folder.path(), Split::kTrain)->notes().empty());
  folder.write("data_batch_1 (1).bin", records(1, 1));
  std::filesystem::remove(folder / "data_batch_5.bin");
  const auto train = open_cifar10(folder.path(), Split::kTrain);
  EXPECT_EQ(train->size(), 4);
  ASSERT_EQ(train->notes().size(), 2u);
  EXPECT_EQ(train->notes()[0], "4 batches of training images instead of CIFAR-10's 5");
  EXPECT_NE(train->notes()[1].find("1 file (data_batch_1 (1).bin) is left out"), std::string::npos);
  EXPECT_EQ(check_data("cifar10:" + folder.path()).notes.size(), 2u);
  std::filesystem::create_symlink("nowhere", folder / "data_batch_5.bin");
  EXPECT_THROWS_WITH(open_cifar10(folder.path(), Split::kTrain), UsageError, "data_batch_5.bin, a link to nowhere");
}

}  // namespace
}  // namespace unlabel::data
