#include <unlabel/augment/error.h>
#include <unlabel/data/formats.h>
#include <unlabel/data/image/dataset_index.h>

#include "data/temp_folder.h"
#include "inject/faults.h"
#include <gtest/gtest.h>
#include <sys/fsuid.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace unlabel::data {
namespace {

std::string described(const std::string& spec, Split split) { return open_dataset(spec, split)->description(); }

TEST(OpenDataset, FindsTheSplitsOfAFolder) {
  const TempFolder folder;
  folder.write("a/1.jpg", "x");
  folder.write("b/1.jpg", "x");
  EXPECT_EQ(described(folder.path(), Split::kTrain), "image folder " + folder.path() + ": 2 images, 2 classes");
  EXPECT_EQ(described(folder.path() + "//", Split::kTrain), "image folder " + folder.path() + ": 2 images, 2 classes");
  EXPECT_THROWS_WITH(open_dataset(folder.path(), Split::kTest), UsageError, "looked for test/, val/, validation/");
  for (const std::string name : {"validation", "val", "test"}) {
    folder.write(name + "/x.jpg", "x");
    EXPECT_EQ(described(folder.path(), Split::kTest),
              "image folder " + folder.path() + "/" + name + ": 1 image, no labels");
  }
  folder.write("train/x.jpg", "x");
  EXPECT_EQ(described(folder.path(), Split::kTrain), "image folder " + folder.path() + "/train: 1 image, no labels");
  std::filesystem::remove(folder / "train/x.jpg");
  EXPECT_THROWS_WITH(open_dataset(folder.path(), Split::kTrain), UsageError,
                     "no images in " + folder.path() + "/train");
}

TEST(OpenDataset, TellsAClassNamedTrainFromASplit) {
  const TempFolder folder;
  folder.write("train/1.jpg", "x");
  folder.write("annotations/1.xml", "x");
  EXPECT_EQ(described(folder.path(), Split::kTrain), "image folder " + folder.path() + "/train: 1 image, no labels");
  folder.write("airplane/1.jpg", "x");
  EXPECT_EQ(described(folder.path(), Split::kTrain), "image folder " + folder.path() + ": 2 images, 2 classes");
  std::filesystem::create_directory(folder / "val");
  EXPECT_EQ(described(folder.path(), Split::kTrain), "image folder " + folder.path() + "/train: 1 image, no labels");
}

TEST(OpenDataset, KnowsSplitsByTheirNamesInAnyCase) {
  for (const std::string train : {"train", "Train", "training"})
    for (const std::string test : {"Test", "valid", "val", "dev", "testing"}) {
      const TempFolder folder;
      for (const auto* split : {&train, &test})
        for (const char* name : {"/cat/1.jpg", "/dog/1.jpg"}) folder.write(*split + name, "x");
      folder.write(test + "/cat/2.jpg", "x");
      EXPECT_EQ(described(folder.path(), Split::kTrain), "image folder " + (folder / train) + ": 2 images, 2 classes");
      EXPECT_TRUE(has_test_images(folder.path()));
      EXPECT_EQ(described(folder.path(), Split::kTest), "image folder " + (folder / test) + ": 3 images, 2 classes");
      EXPECT_EQ(open_test_images(folder.path())->size(), 3);
      EXPECT_TRUE(open_dataset(folder.path(), Split::kTrain)->notes().empty());
    }
}

TEST(OpenDataset, TakesTheTestImagesThatHaveClasses) {
  // ImageNet as it is published: train/ and val/ with a folder a class, test/ without.
  const TempFolder folder;
  for (const char* name : {"train/cat/1.jpg", "train/dog/1.jpg", "test/1.jpg", "val/cat/1.jpg", "val/dog/1.jpg"})
    folder.write(name, "x");
  auto test = open_dataset(folder.path(), Split::kTest);
  EXPECT_EQ(test->description(), "image folder " + (folder / "val") + ": 2 images, 2 classes");
  ASSERT_EQ(test->notes().size(), 1u);
  EXPECT_NE(test->notes()[0].find("val/ is taken for the test images and not test/"), std::string::npos)
      << test->notes()[0];
  std::filesystem::remove_all(folder / "val/cat");
  std::filesystem::remove_all(folder / "val/dog");
  test = open_dataset(folder.path(), Split::kTest);
  EXPECT_EQ(test->description(), "image folder " + (folder / "test") + ": 1 image, no labels");
}

TEST(OpenDataset, TellsWhatItLeavesOut) {
  const TempFolder folder;
  for (const char* name : {"alps/1.jpg", "beach/1.jpg", "test/1.jpg", "val/1.jpg"}) folder.write(name, "x");
  const auto photos = open_dataset(folder.path(), Split::kTrain);
  EXPECT_EQ(photos->class_names(), (std::vector<std::string>{"alps", "beach"}));
  ASSERT_EQ(photos->notes().size(), 1u);
  EXPECT_NE(photos->notes()[0].find("test/ and val/ of " + folder.path() + " are left out"), std::string::npos);
}

TEST(OpenDataset, PassesOverAnUnreadableFolderBesideTrain) {
  const TempFolder folder;
  folder.write("train/1.jpg", "x");
  folder.write("lost+found/1.jpg", "x");
  std::filesystem::permissions(folder / "lost+found", std::filesystem::perms::none);
  std::filesystem::permissions(folder.path(), static_cast<std::filesystem::perms>(0755));
  const bool root = geteuid() == 0;
  if (root) setfsuid(65534);  // root reads everything, so be somebody else for this thread's files
  EXPECT_EQ(described(folder.path(), Split::kTrain), "image folder " + folder.path() + "/train: 1 image, no labels");
  if (root) setfsuid(0);
  std::filesystem::permissions(folder / "lost+found", std::filesystem::perms::owner_all);
}

/// Sixteen folders closed0 ... with an image each, and one m with an image, in the middle: in whatever order the system lists them, some of
/// them come before m and some after it.
void write_around_m(const TempFolder& folder, const std::string& parent) {
  for (int i = 0; i < 16; ++i) {
    if (i == 8) folder.write(parent + "/m/1.jpg", "x");
    folder.write(concat(parent, "/closed", i, "/1.jpg"), "x");
  }
}

TEST(OpenDataset, ForbiddenFoldersHideNoneBesideThem) {
  for (const int error : {EACCES, EPERM}) {
    const TempFolder folder;
    folder.write("train/1.jpg", "x");
    write_around_m(folder, "bird");
    const inject::Faults faults({{"open", "/bird/closed", error}});
    // bird/ holds images, so train/ is a class beside it; what may not be read of it is told.
    EXPECT_THROWS_WITH(open_dataset(folder.path(), Split::kTrain), UsageError, "bird/closed");
    folder.write("test/4.jpg", "x");
    const auto notes = open_dataset(folder.path(), Split::kTrain)->notes();
    ASSERT_EQ(notes.size(), 1u);
    EXPECT_NE(notes[0].find("train/ is taken for the training images; left out is bird/"), std::string::npos)
        << notes[0];
  }
}

TEST(OpenDataset, AFolderOfWhichNothingMayBeReadIsTold) {
  const TempFolder folder;
  for (const auto& name : {"train/1.jpg", "bird/closed/2.jpg", "bird/notes.txt"}) folder.write(name, "x");
  const inject::Faults faults({{"open", "/bird/closed", EACCES}});
  const auto dataset = open_dataset(folder.path(), Split::kTrain);
  EXPECT_EQ(dataset->size(), 1);
  ASSERT_EQ(dataset->notes().size(), 1u);
  EXPECT_EQ(dataset->notes()[0], "bird/ of " + folder.path() +
                                     " may not be read, in part or as a whole, and counts as a folder without images");
}

TEST(OpenDataset, AForbiddenFolderChangesNoChoiceOfTestImages) {
  {
    const TempFolder folder;
    for (const auto& name : {"train/1.jpg", "test/2.jpg"}) folder.write(name, "x");
    write_around_m(folder, "val");
    const inject::Faults faults({{"open", "/val/closed", EACCES}});
    EXPECT_THROWS_WITH(open_dataset(folder.path(), Split::kTest), UsageError, "val/closed");
  }
  const TempFolder folder;
  for (const auto& name : {"train/1.jpg", "test/2.jpg", "val/m/3.jpg"}) folder.write(name, "x");
  const inject::Faults faults({{"open", "/val", EACCES}});
  const auto test = open_dataset(folder.path(), Split::kTest);
  EXPECT_EQ(test->name(0), "2.jpg");
  EXPECT_NE(
      test->notes().at(0).find("val/ of " + folder.path() + " may not be read, in part or as a whole, and counts as"),
      std::string::npos);
}

TEST(OpenDataset, ARefusalNamesTheFolderThatMayNotBeRead) {
  const TempFolder folder;
  for (const auto& name : {"photos/1.jpg", "test/2.jpg"}) folder.write(name, "x");
  const inject::Faults faults({{"open", "/photos", EACCES}});
  EXPECT_THROWS_WITH(open_dataset(folder.path(), Split::kTrain), UsageError,
                     "photos/ of " + folder.path() + " may not be");
}

TEST(OpenDataset, KeepsTestImagesOutOfTheTrainingImages) {
  const TempFolder folder;
  folder.write("test/x/1.jpg", "x");
  folder.write("test/y/1.jpg", "x");
  EXPECT_THROWS_WITH(open_dataset(folder.path(), Split::kTrain), UsageError, "has test/ but no train/");
  EXPECT_EQ(open_dataset(folder / "test", Split::kTrain)->size(), 2);
  folder.write("val/x/2.jpg", "x");
  EXPECT_THROWS_WITH(open_dataset(folder.path(), Split::kTrain), UsageError, "has test/ but no train/");
  std::filesystem::create_directory_symlink(folder / "test", folder / "validation");
  folder.write("photos/1.jpg", "x");
  folder.write("photos/test/1.jpg", "x");  // only the top folders are splits
  const auto photos = open_dataset(folder.path(), Split::kTrain);
  EXPECT_EQ(photos->description(), "image folder " + folder.path() + ": 2 images, no labels: all are in photos/");
  EXPECT_EQ(photos->name(1), "photos/test/1.jpg");
  folder.write("trips/1.jpg", "x");
  EXPECT_EQ(open_dataset(folder.path(), Split::kTrain)->class_names(), (std::vector<std::string>{"photos", "trips"}));
  EXPECT_EQ(open_dataset(folder.path(), Split::kTest)->size(), 2);

  const TempFolder empty;
  std::filesystem::create_directory(empty / "val");
  EXPECT_THROWS_WITH(open_dataset(empty.path(), Split::kTrain), UsageError, "has val/ but no train/");
}

TEST(OpenDataset, DetectsTheFormatUnlessAPrefixSaysIt) {
  const TempFolder cifar, idx;
  cifar.write("data_batch_1.bin", std::string(3073, '\1'));
  EXPECT_EQ(open_dataset(cifar.path(), Split::kTrain)->label(0), 1);
  EXPECT_THROWS_WITH(open_dataset(cifar.path(), Split::kTest), UsageError, "test_batch.bin");
  cifar.write("1.jpg", "x");
  EXPECT_EQ(open_dataset("cifar10:" + cifar.path(), Split::kTrain)->label(0), 1);
  EXPECT_EQ(open_dataset("folder:" + cifar.path(), Split::kTrain)->name(0), "1.jpg");
  EXPECT_THROWS_WITH(open_dataset("idx:" + cifar.path(), Split::kTrain), UsageError, "no train-images-idx3-ubyte");
  // Behind a prefix no shell expands a ~.
  const std::string home = std::getenv("HOME") ? std::getenv("HOME") : "";
  ::setenv("HOME", cifar.path().c_str(), 1);
  EXPECT_EQ(open_dataset("cifar10:~", Split::kTrain)->label(0), 1);
  EXPECT_EQ(resolve_location("folder:~/some/where").directory, cifar.path() + "/some/where");
  EXPECT_EQ(resolve_location("folder:~other/where").directory, "~other/where");
  ::setenv("HOME", home.c_str(), 1);

  using namespace std::literals;
  idx.write("t10k-images.idx3-ubyte", "\0\0\10\3\0\0\0\1\0\0\0\1\0\0\0\1\7"sv);
  EXPECT_EQ(open_dataset(idx.path(), Split::kTest)->size(), 1);
  EXPECT_THROWS_WITH(open_dataset(idx.path(), Split::kTrain), UsageError, "train-images-idx3-ubyte");
  EXPECT_THROWS_WITH(open_dataset("cifar10:" + idx.path(), Split::kTrain), UsageError, "data_batch_1.bin");
}

TEST(OpenDataset, SaysWhatIsWrong) {
  const TempFolder folder;
  EXPECT_THROWS_WITH(open_dataset("", Split::kTrain), UsageError, "no data set named");
  EXPECT_THROWS_WITH(open_dataset("folder:", Split::kTrain), UsageError, "no data set named");
  EXPECT_THROWS_WITH(open_dataset(folder / "none", Split::kTrain), UsageError, "there is no folder");
  EXPECT_THROWS_WITH(open_dataset("cifar:" + folder.path(), Split::kTrain), UsageError,
                     "(of prefixes there are cifar10:, idx:, shards:, folder:)");
  EXPECT_THROWS_WITH(open_dataset(folder.path(), Split::kTrain), UsageError, "no images in");
  EXPECT_THROWS_WITH(open_dataset(folder.path(), Split::kTest), UsageError, "no test images");
  folder.write("x.jpg", "x");
  EXPECT_THROWS_WITH(open_dataset(folder / "x.jpg", Split::kTrain), UsageError, "is not a folder");
}

/// Counts what is read of an image folder.
class Watched : public Dataset {
 public:
  explicit Watched(std::shared_ptr<const Dataset> dataset) : dataset_(std::move(dataset)) {}
  std::int64_t size() const override { return dataset_->size(); }
  void read(std::int64_t index, augment::ImageSource& out) const override {
    dataset_->read(index, out);
    bytes_read += out.bytes.size();
  }
  void read_start(std::int64_t index, std::uint64_t bytes, augment::ImageSource& out) const override {
    dataset_->read_start(index, bytes, out);
    bytes_read += out.bytes.size();
  }
  std::int64_t label(std::int64_t index) const override { return dataset_->label(index); }
  const std::vector<std::string>& class_names() const override { return dataset_->class_names(); }
  std::string name(std::int64_t index) const override { return dataset_->name(index); }
  void for_each_file(const std::function<void(std::string_view, std::uint64_t)>& visit) const override {
    dataset_->for_each_file(visit);
  }
  std::string description() const override { return dataset_->description(); }

  mutable std::size_t bytes_read = 0;

 private:
  std::shared_ptr<const Dataset> dataset_;
};

TEST(OpenTestImages, NeverOpensTrainingImages) {
  const TempFolder folder;
  folder.write("train/cat/1.jpg", "x");
  EXPECT_THROWS_WITH(open_test_images(folder.path()), UsageError, "has train/ but no test/");
  EXPECT_THROWS_WITH(open_test_images("folder:" + folder.path()), UsageError, "has train/ but no test/");
  folder.write("Training/cat/1.jpg", "x");
  EXPECT_THROWS_WITH(open_test_images(folder.path()), UsageError, "several folders of training images");
  std::filesystem::remove_all(folder / "Training");
  folder.write("val/cat/2.jpg", "x");
  EXPECT_EQ(open_test_images(folder.path())->name(0), "cat/2.jpg");
  EXPECT_EQ(open_test_images(folder / "val")->name(0), "cat/2.jpg") << "the test images themselves";
  EXPECT_THROWS_WITH(open_test_images(folder / "none"), UsageError, "there is no folder");
}

TEST(OpenIndexed, IsTheSameDataSetWithoutAListing) {
  const TempFolder here, there;
  for (const auto* at : {&here, &there})
    for (int i = 0; i < 40; ++i)
      at->write(concat("train/", i % 3 ? "a/" : "b/", i, i % 5 ? ".jpg" : "\xff\n.jpg"),
                std::string(static_cast<std::size_t>(i), 'x'));
  std::filesystem::create_symlink("nowhere", here / "train/b/z.jpg");
  std::filesystem::create_symlink("nowhere", there / "train/b/z.jpg");
  here.write("val/a/1.jpg", "x");
  const auto listed = open_dataset(here.path(), Split::kTrain);
  const auto index = listed->file_index();
  EXPECT_LT(index.size(), 2000u);
  there.write("train/a/one more.jpg", "x");  // what is not in the list is not seen
  const auto indexed = open_indexed(there.path(), index);
  ASSERT_EQ(indexed->size(), 41);
  EXPECT_EQ(indexed->fingerprint(), listed->fingerprint());
  EXPECT_EQ(indexed->class_names(), listed->class_names());
  for (std::int64_t i = 0; i < indexed->size(); ++i) {
    EXPECT_EQ(indexed->name(i), listed->name(i));
    EXPECT_EQ(indexed->label(i), listed->label(i));
  }
  augment::ImageSource source;
  indexed->read(1, source);
  EXPECT_EQ(source.bytes.size(), std::filesystem::file_size(there / ("train/" + indexed->name(1))));
}

TEST(OpenIndexed, NoticesOtherFilesInASample) {
  const TempFolder folder;
  for (int i = 100; i < 200; ++i) folder.write(concat(i, ".jpg"), "x");
  const auto index = open_dataset(folder.path(), Split::kTrain)->file_index();
  const auto open = [&] { open_indexed(folder.path(), index); };
  open();
  std::filesystem::remove(folder / "199.jpg");
  EXPECT_THROWS_WITH(open(), MismatchError, "199.jpg is missing");
  folder.write("199.jpg", "xyz");
  EXPECT_THROWS_WITH(open(), MismatchError, "199.jpg has 3 bytes, and not 1");
  EXPECT_THROWS_WITH(open_indexed(folder / "none", index), UsageError, "there is no folder");
  for (const auto& damaged :
       {index.substr(0, index.size() - 3), index.substr(0, 4), std::string(), std::string(100, '\xff')})
    EXPECT_THROW(open_indexed(folder.path(), damaged), Error);
  for (const std::string paths : {"", "100.jpg"}) {
    const auto open_end = pack_index({{"below", ""},
                                      {"paths", binary_of(std::vector<char>(paths.begin(), paths.end()))},
                                      {"sizes", binary_of(std::vector<std::uint64_t>{1})}});
    EXPECT_THROWS_WITH(open_indexed(folder.path(), open_end), Error, "damaged");
  }
  folder.write("199.jpg", "x");
  const inject::Faults faults({{"open", folder.path(), EIO, 0, 1}});
  open();
  EXPECT_EQ(faults.injected(), 1);
}

TEST(SurveySizes, ReadsTheStartOfLargeFilesWhereThatIsEnough) {
  const TempFolder folder;
  folder.write_image("1.png", 30, 20);
  std::filesystem::resize_file(folder / "1.png", 5 << 20);
  Watched watched(open_dataset(folder.path(), Split::kTrain));
  EXPECT_EQ(sample_image_sizes(watched).median_short_side, 20);
  EXPECT_EQ(watched.bytes_read, std::size_t{256} << 10);

  folder.write_image("1.tiff", 500, 400);  // of noise, which does not pack; its directory stands at the end
  ASSERT_GT(std::filesystem::file_size(folder / "1.tiff"), 300000u);
  EXPECT_EQ(sample_image_sizes(*open_dataset(folder.path(), Split::kTrain)).max_short_side, 400);
}

TEST(SurveySizes, ReadsHeadersOfAnEvenSample) {
  const TempFolder folder;
  for (int i = 0; i < 9; ++i) folder.write_image("img" + std::to_string(i) + (i % 2 ? ".png" : ".jpg"), 20 + i, 40 - i);
  folder.write("img9.jpg", "no image");
  const auto dataset = open_dataset(folder.path(), Split::kTrain);
  const auto all = sample_image_sizes(*dataset, 100);
  EXPECT_EQ(all.surveyed, 9);
  EXPECT_EQ(all.broken, 1);
  EXPECT_EQ(all.min_short_side, 20);
  EXPECT_EQ(all.median_short_side, 24);
  EXPECT_EQ(all.max_short_side, 28);
  const auto three = sample_image_sizes(*dataset, 3);  // of 0, 3 and 6
  EXPECT_EQ(three.surveyed, 3);
  EXPECT_EQ(three.min_short_side, 20);
  EXPECT_EQ(three.median_short_side, 23);
  EXPECT_EQ(three.max_short_side, 26);
  EXPECT_THROW(sample_image_sizes(*dataset, 0), UsageError);

  const TempFolder broken;
  broken.write("1.jpg", "no image");
  EXPECT_THROWS_WITH(sample_image_sizes(*open_dataset(broken.path(), Split::kTrain), 5), Error, "1.jpg");
}

TEST(OpenDataset, TellsOfSplitsThatAreLinksToNowhere) {
  const TempFolder folder;
  folder.write("test/1.jpg", "x");
  std::filesystem::create_symlink("nowhere", folder / "train");
  EXPECT_THROWS_WITH(open_dataset(folder.path(), Split::kTrain), UsageError,
                     "train of " + folder.path() + " is a link to nowhere");
  const TempFolder tests;
  tests.write("train/1.jpg", "x");
  std::filesystem::create_symlink("nowhere", tests / "val");
  const auto train = open_dataset(tests.path(), Split::kTrain);
  ASSERT_EQ(train->notes().size(), 1u);
  EXPECT_NE(train->notes()[0].find("val of " + tests.path() + " is a link to nowhere"), std::string::npos);
  EXPECT_THROWS_WITH(open_dataset(tests.path(), Split::kTest), UsageError, "is a link to nowhere");
  // Other test images that are there are taken, and which are not is told.
  const TempFolder classes;
  for (const char* image : {"cat/1.jpg", "dog/1.jpg", "test/cat/1.jpg"}) classes.write(image, "x");
  std::filesystem::create_symlink("nowhere", classes / "val");
  const auto chosen = open_test_images(classes.path());
  ASSERT_EQ(chosen->notes().size(), 1u);
  EXPECT_NE(chosen->notes()[0].find("val of " + classes.path() + " is a link to nowhere"), std::string::npos);
}

TEST(OpenDataset, RefusesToChooseBetweenFilesAndFoldersOfImages) {
  const TempFolder folder;
  folder.write("cifar-10-batches-bin/data_batch_1.bin", std::string(3073, '\1'));
  EXPECT_EQ(open_dataset(folder.path(), Split::kTrain)->size(), 1);
  folder.write("train/a/1.jpg", "x");
  folder.write("train/b/1.jpg", "x");
  EXPECT_THROWS_WITH(open_dataset(folder.path(), Split::kTrain), UsageError,
                     concat("holds files of CIFAR-10 and folders of images (train/ ...); say which are meant: cifar10:",
                            folder.path(), " or folder:", folder.path()));
  EXPECT_EQ(open_dataset("cifar10:" + folder.path(), Split::kTrain)->size(), 1);
  EXPECT_EQ(open_dataset("folder:" + folder.path(), Split::kTrain)->size(), 2);
  const TempFolder idx;
  idx.write("train-images-idx3-ubyte", std::string("\0\0\x08\x03\0\0\0\x01\0\0\0\x01\0\0\0\x01x", 17));
  EXPECT_EQ(open_dataset(idx.path(), Split::kTrain)->size(), 1);
  idx.write("photos/1.jpg", "x");
  EXPECT_THROWS_WITH(open_dataset(idx.path(), Split::kTrain), UsageError, "holds files of IDX and folders of images");
  std::filesystem::rename(idx / "photos/1.jpg", idx / "1.jpg");
  EXPECT_THROWS_WITH(open_dataset(idx.path(), Split::kTrain), UsageError,
                     "holds files of IDX and images beside them; say which are meant: idx:");
}

TEST(OpenDataset, TellsOfClassesThatAreNamedLikeSplits) {
  const std::vector<std::vector<std::string>> splits{
      {"train_subset", "val_subset"},     {"trainA", "testA", "trainB", "testB"},
      {"minitrain", "minival"},           {"trn", "tst"},
      {"imagenet_train", "imagenet_val"}, {"train_clean", "train_noisy", "test"}};
  for (const auto& folders : splits) {
    const TempFolder folder;
    for (const auto& name : folders) folder.write(name + "/1.jpg", "x");
    const auto notes = open_dataset(folder.path(), Split::kTrain)->notes();
    ASSERT_FALSE(notes.empty()) << folders[0];
    EXPECT_NE(notes.back().find(concat("name it: --data ", folder.path(), "/", folders[0])), std::string::npos)
        << notes.back();
    EXPECT_NE(notes.back().find(concat(folders[0], "/ and ", folders.size() == 4 ? "testA" : folders.back(), "/ of ")),
              std::string::npos)
        << notes.back();
  }
  const std::vector<std::vector<std::string>> classes{{"train_station", "valley"},
                                                      {"bullet_train", "bus", "festival"},
                                                      {"cat", "dog"},
                                                      {"strainer", "test_tube"},
                                                      {"bullet_train", "cat", "test_tube"}};
  for (const auto& folders : classes) {
    const TempFolder folder;
    for (const auto& name : folders) folder.write(name + "/1.jpg", "x");
    EXPECT_TRUE(open_dataset(folder.path(), Split::kTrain)->notes().empty()) << folders[0];
  }
}

}  // namespace
}  // namespace unlabel::data
