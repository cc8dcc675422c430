#include <unlabel/augment/error.h>
#include <unlabel/data/check.h>
#include <unlabel/data/formats.h>
#include <unlabel/data/image/folder_walk.h>
#include <unlabel/data/image/image_folder.h>

#include "data/temp_folder.h"
#include "inject/faults.h"
#include "refusal.h"
#include <gtest/gtest.h>
#include <sys/fsuid.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <exception>
#include <filesystem>
#include <memory>

namespace unlabel::data {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> names(const Dataset& dataset) {
  std::vector<std::string> result;
  for (std::int64_t i = 0; i < dataset.size(); ++i) result.push_back(dataset.name(i));
  return result;
}

std::vector<std::int64_t> labels(const Dataset& dataset) {
  std::vector<std::int64_t> result;
  for (std::int64_t i = 0; i < dataset.size(); ++i) result.push_back(dataset.label(i));
  return result;
}

using Names = std::vector<std::string>;
using Labels = std::vector<std::int64_t>;

TEST(ImageFolder, OrdersPathsAndClassesByTheirBytes) {
  const TempFolder folder;
  // '-' sorts before '/', so the paths of "a-b" come before those of "a", while the name "a" sorts first.
  for (const char* name : {"a/2.png", "a/10.PNG", "a/deep/er/x.jpeg", "a-b/1.JPG", "Z/1.webp", "\xc3\xa9/1.tiff"})
    folder.write(name, "x");
  const auto dataset = open_image_folder(folder.path());
  EXPECT_EQ(names(*dataset),
            (Names{"Z/1.webp", "a-b/1.JPG", "a/10.PNG", "a/2.png", "a/deep/er/x.jpeg", "\xc3\xa9/1.tiff"}));
  EXPECT_EQ(dataset->class_names(), (Names{"Z", "a", "a-b", "\xc3\xa9"}));
  EXPECT_EQ(labels(*dataset), (Labels{0, 2, 1, 1, 1, 3}));
  EXPECT_EQ(dataset->description(), "image folder " + folder.path() + ": 6 images, 4 classes");
}

TEST(ImageFolder, TakesImagesOnly) {
  const TempFolder folder;
  for (const char* name : {"a.jpg", "b.jpeg", "c.png", "d.webp", "e.bmp", "f.tif", "g.tiff", "h.ppm", "i.pgm", "j.pbm",
                           "k.PnM", "l.jfif", "m.JPE", "n.jif"})
    folder.write(name, "x");
  for (const char* name :
       {".hidden.jpg", ".cache/x.jpg", "notes.txt", "jpg", "x.jpg.part", "y.jpgg", "sub/._x.jpg", "z.gif",
        "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", "sub/@eaDir/b.jpg", "#recycle/gone.jpg", "__MACOSX/a.jpg"})
    folder.write(name, "x");
  fs::create_directories(folder / "folder.jpg");
  ASSERT_EQ(mkfifo((folder / "pipe.jpg").c_str(), 0600), 0);
  const auto dataset = open_image_folder(folder.path());
  EXPECT_EQ(names(*dataset), (Names{"a.jpg", "b.jpeg", "c.png", "d.webp", "e.bmp", "f.tif", "g.tiff", "h.ppm", "i.pgm",
                                    "j.pbm", "k.PnM", "l.jfif", "m.JPE", "n.jif"}));
}

TEST(ImageFolder, TellsOnceWhatLooksLikeAnImageAndIsPassedOver) {
  const TempFolder folder;
  folder.write("a/1.jpg", "x");
  folder.write("a/notes.txt", "x");
  EXPECT_TRUE(open_image_folder(folder.path())->notes().empty());
  for (const char* name : {"b/2.heic", "a/3.AVIF", "a/4.gif", ".cache/5.heic", "a/@eaDir/6.heic"})
    folder.write(name, "x");
  auto notes = open_image_folder(folder.path())->notes();
  ASSERT_EQ(notes.size(), 2u);
  EXPECT_EQ(notes[0],
            "passed over are 3 files that look like images (a/3.AVIF ...), of a format that is not read; "
            "unlabel check lists them");
  EXPECT_NE(notes[1].find("1 folder (a/@eaDir/) of thumbnails"), std::string::npos) << notes[1];
  folder.write_image("c/named.png");
  fs::rename(folder / "c/named.png", folder / "c/0a1b2c");
  notes = open_image_folder(folder.path())->notes();
  ASSERT_EQ(notes.size(), 3u);
  EXPECT_NE(notes[1].find("c/0a1b2c is one by its content"), std::string::npos) << notes[1];
}

TEST(ImageFolder, OfASplitFurtherDownTakesTheTrainingImages) {
  const TempFolder folder;
  for (const char* name : {"bottle/train/good/1.jpg", "bottle/test/good/2.jpg", "bottle/test/broken/3.jpg",
                           "bottle/ground_truth/broken/3.png", "bottle/preview.jpg", "cable/Train/4.jpg",
                           "cable/Val/5.jpg", "nut/6.jpg", "nut/test/7.jpg"})
    folder.write(name, "x");
  const auto images = open_image_folder(folder.path());
  EXPECT_EQ(names(*images), (Names{"bottle/train/good/1.jpg", "cable/Train/4.jpg", "nut/6.jpg", "nut/test/7.jpg"}));
  const auto notes = images->notes();
  ASSERT_EQ(notes.size(), 2u);
  EXPECT_NE(notes[0].find("2 folders (bottle/ ...) with one for training and one for testing"), std::string::npos)
      << notes[0];
  EXPECT_NE(notes[1].find("1 folder (nut/test/) named as test images is taken"), std::string::npos) << notes[1];
  // Asked for test images, it does not give the others.
  EXPECT_THROWS_WITH(open_test_images(folder.path()), UsageError,
                     "for training and for testing further down, in 2 folders (bottle/ ...): give --test the test "
                     "folder inside one of them");
  EXPECT_EQ(names(*open_test_images(folder / "bottle")), (Names{"broken/3.jpg", "good/2.jpg"}));
}

TEST(ImageFolder, WithoutImagesSaysWhatIsThereAndWhatIsTaken) {
  const auto refusal_of = [](const std::vector<std::string>& files) {
    const TempFolder folder;
    for (const auto& name : files) folder.write(name, "x");
    return unlabel::refusal<UsageError>([&] { open_image_folder(folder.path()); });
  };
  const std::vector<std::pair<std::vector<std::string>, std::string>> layouts{
      {{"a-0.tar", "a-1.tar"}, "there are 2 tar archives (a-0.tar ...): shards:DIR reads them"},
      {{"a.tar.gz"}, "1 compressed archive (a.tar.gz): unpack them first"},
      {{"train_X.bin", "unlabeled_X.bin"}, "2 binary files of STL-10"},
      {{"cifar-10-batches-py/data_batch_1", "cifar-10-batches-py/batches.meta"}, "2 files of CIFAR for Python"},
      {{"labels.csv"}, "1 table or list (labels.csv): lists are not read; give the folder"},
      {{"a.parquet"}, "1 file of another data format"},
      {{"1.heic", "2.HEIC"}, "2 images in formats that are not read (1.heic ...): convert them"},
      {{".hidden/1.jpg"}, "there is 1 hidden file (.hidden/1.jpg)"},
      {{}, "it is empty"}};
  for (const auto& [files, text] : layouts) {
    const auto refused = refusal_of(files);
    EXPECT_NE(refused.find(text), std::string::npos) << refused;
    EXPECT_NE(refused.find("Taken are folders of images (.jpg .jpeg .jpe"), std::string::npos) << refused;
  }
}

TEST(ImageFolder, ARefusalOpensAFewFilesOnly) {
  const TempFolder folder;
  for (int i = 0; i < 100; ++i) folder.write(concat(i, ".label"), "0");
  const inject::Faults faults({{"open", ".label", 0}});
  EXPECT_THROW(open_image_folder(folder.path()), NoImages);
  EXPECT_EQ(faults.injected(), 64);
}

TEST(ImageFolder, HasNoLabelsUnlessEveryImageIsInOneOfTwoFolders) {
  {
    const TempFolder folder;
    for (const char* name : {"a/1.jpg", "b/1.jpg", "top.jpg"}) folder.write(name, "x");
    const auto dataset = open_image_folder(folder.path());
    EXPECT_TRUE(dataset->class_names().empty());
    EXPECT_EQ(labels(*dataset), (Labels{-1, -1, -1}));
    EXPECT_EQ(dataset->description(),
              "image folder " + folder.path() + ": 3 images, no labels: top.jpg lies beside the folders");
    fs::remove(folder / "top.jpg");
    EXPECT_EQ(labels(*open_image_folder(folder.path())), (Labels{0, 1}));
  }
  const TempFolder folder;
  for (const char* name : {"only/1.jpg", "only/2.jpg", "empty/readme.txt"}) folder.write(name, "x");
  const auto one = open_image_folder(folder.path());
  EXPECT_EQ(labels(*one), (Labels{-1, -1}));
  EXPECT_NE(one->description().find("2 images, no labels: all are in only/"), std::string::npos) << one->description();
}

TEST(ImageFolder, FollowsLinksWithoutLoops) {
  const TempFolder elsewhere, folder;
  elsewhere.write("far/1.jpg", "far");
  folder.write("a/1.jpg", "near");
  fs::create_directory_symlink(elsewhere / "far", folder / "b");
  fs::create_directory_symlink(folder.path(), folder / "a/up");
  fs::create_directory_symlink(".", folder / "a/self");
  fs::create_symlink(elsewhere / "far/1.jpg", folder / "a/2.jpg");
  fs::create_symlink("nowhere", folder / "a/3.jpg");
  fs::create_symlink("nowhere", folder / "a/text");
  fs::create_symlink("4.jpg", folder / "a/4.jpg");
  const auto dataset = open_image_folder(folder.path());
  EXPECT_EQ(names(*dataset), (Names{"a/1.jpg", "a/2.jpg", "a/3.jpg", "a/4.jpg", "b/1.jpg"}));
  augment::ImageSource source;
  dataset->read(4, source);
  EXPECT_EQ(std::string(source.bytes.begin(), source.bytes.end()), "far");
  EXPECT_THROWS_WITH(dataset->read(2, source), Error, "a/3.jpg");
}

TEST(ImageFolder, LinksToOneFolderFromManyAreNoLoop) {
  const TempFolder folder;
  folder.write("common/1.jpg", "shared");
  for (int i = 0; i < 40; ++i) {
    const auto name = std::to_string(i);
    folder.write(name + "/1.jpg", "own");
    fs::create_directory_symlink("../common", folder / (name + "/common"));
    fs::create_directories(folder / ".hidden");
    fs::create_directory_symlink("../common", folder / (".hidden/" + name));
  }
  EXPECT_EQ(open_image_folder(folder.path())->size(), 81);
  EXPECT_EQ(FolderWalk(folder.path(), {.all = true}).entries.size(), 121u);
}

TEST(ImageFolder, ReadsTheBytes) {
  const TempFolder folder;
  folder.write("1.jpg", "first");
  folder.write("2.jpg", "");
  folder.write("3.jpg", "third");
  const auto dataset = open_image_folder(folder.path() + "/");
  augment::ImageSource source;
  source.pixels.create(2, 2, CV_8UC3);
  dataset->read(0, source);
  EXPECT_EQ(std::string(source.bytes.begin(), source.bytes.end()), "first");
  EXPECT_TRUE(source.pixels.empty());
  EXPECT_THROWS_WITH(dataset->read(1, source), Error, "2.jpg: the file is empty");
  EXPECT_THROW(dataset->read(3, source), UsageError);
  EXPECT_THROW(dataset->label(-1), UsageError);
  fs::remove(folder / "3.jpg");
  EXPECT_THROWS_WITH(dataset->read(2, source), Error, "3.jpg");
  ASSERT_EQ(mkfifo((folder / "3.jpg").c_str(), 0600), 0);
  EXPECT_THROWS_WITH(dataset->read(2, source), Error, "not a regular file");
}

TEST(ImageFolder, ThrowsUsageErrorWhenTheFaultIsTheProcesss) {
  const TempFolder folder;
  folder.write("1.jpg", "first");
  const auto dataset = open_image_folder(folder.path());
  augment::ImageSource source;
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit none{3, limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  std::exception_ptr thrown;
  try {
    dataset->read(0, source);
  } catch (...) {
    thrown = std::current_exception();
  }
  // Only now is it looked at: UBSan's check of an object's type opens a pipe.
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  ASSERT_TRUE(thrown);
  EXPECT_THROWS_WITH(std::rethrow_exception(thrown), UsageError, "ulimit -n");
  dataset->read(0, source);
  EXPECT_EQ(source.bytes.size(), 5u);
}

TEST(ImageFolder, MayBeDeeperThanAProcessMayHaveFilesOpen) {
  const TempFolder folder;
  std::string deep;
  for (int i = 0; i < 60; ++i) deep += "d/";
  folder.write(deep + "1.jpg", "x");
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit few{40, limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  std::exception_ptr thrown;
  std::int64_t size = 0;
  try {
    size = open_image_folder(folder.path())->size();
  } catch (...) {
    thrown = std::current_exception();
  }
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_FALSE(thrown);
  EXPECT_EQ(size, 1);
}

TEST(ImageFolder, RefusesAFileAboveTheLimitBeforeReadingIt) {
  const TempFolder folder;
  folder.write("1.jpg", "first");
  fs::resize_file(folder / "1.jpg", (std::uint64_t{1} << 30) + 1);  // sparse
  augment::ImageSource source;
  EXPECT_THROWS_WITH(open_image_folder(folder.path())->read(0, source), Error, "more than the 1073741824 allowed");
  EXPECT_TRUE(source.bytes.empty());
}

TEST(ImageFolder, FingerprintIsOfPathsAndSizes) {
  const TempFolder folder, twin;
  for (const auto* at : {&folder, &twin}) {
    at->write("a/1.jpg", "12345");
    at->write("b/2.jpg", "12345");
  }
  const auto fingerprint = open_image_folder(folder.path())->fingerprint();
  EXPECT_EQ(open_image_folder(twin.path())->fingerprint(), fingerprint);
  // FNV-1a of "a/1.jpg\0" 5 "b/2.jpg\0" 5 with sizes of eight bytes, computed apart.
  std::uint64_t expected = 14695981039346656037u;
  using namespace std::literals;
  for (const char byte : "a/1.jpg\0\5\0\0\0\0\0\0\0b/2.jpg\0\5\0\0\0\0\0\0\0"sv)
    expected = (expected ^ static_cast<std::uint8_t>(byte)) * 1099511628211u;
  EXPECT_EQ(fingerprint, expected);

  folder.write("a/1.jpg", "54321");
  EXPECT_EQ(open_image_folder(folder.path())->fingerprint(), fingerprint);
  folder.write("a/1.jpg", "123456");
  EXPECT_NE(open_image_folder(folder.path())->fingerprint(), fingerprint);
  fs::rename(twin / "a/1.jpg", twin / "a/3.jpg");
  EXPECT_NE(open_image_folder(twin.path())->fingerprint(), fingerprint);
}

TEST(ImageFolder, NamesWhatCannotBeRead) {
  const TempFolder folder;
  EXPECT_THROWS_WITH(open_image_folder(folder / "none"), UsageError, "no folder " + folder.path() + "/none");
  EXPECT_THROWS_WITH(open_image_folder(folder.path()), UsageError, "no images in " + folder.path());
  folder.write("file", "x");
  EXPECT_THROWS_WITH(open_image_folder(folder / "file"), UsageError, "is not a folder");

  folder.write("open/1.jpg", "x");
  folder.write("locked/1.jpg", "x");
  fs::permissions(folder / "locked", fs::perms::none);
  fs::permissions(folder.path(), static_cast<fs::perms>(0755));
  const bool root = geteuid() == 0;
  if (root) setfsuid(65534);  // root reads everything, so be somebody else for this thread's files
  EXPECT_THROWS_WITH(open_image_folder(folder.path()), UsageError, folder.path() + "/locked: Permission denied");
  if (root) setfsuid(0);
  fs::permissions(folder / "locked", fs::perms::owner_all);
}

TEST(ImageFolder, MayBeRenamedWhileItIsUsed) {
  const TempFolder folder;
  folder.write("old/1.jpg", "one");
  const auto dataset = open_image_folder(folder / "old");
  fs::rename(folder / "old", folder / "new");
  augment::ImageSource source;
  dataset->read(0, source);
  EXPECT_EQ(source.bytes.size(), 3u);
}

TEST(ImageFolder, FindsWhetherThereIsAnImage) {
  const TempFolder folder;
  folder.write("a/b/c/readme.txt", "x");
  EXPECT_FALSE(contains_image(folder.path()));
  folder.write("a/b/c/d/x.png", "x");
  EXPECT_TRUE(contains_image(folder.path()));
}

TEST(ImageFolder, TellsOfLinksToNowhere) {
  const TempFolder folder;
  folder.write_image("cat/1.png");
  folder.write_image("bird/1.png");
  fs::create_symlink("/mnt/unmounted/dog", folder / "dog");
  fs::create_symlink("nowhere", folder / "cat/x");
  const auto images = open_image_folder(folder.path());
  EXPECT_EQ(images->size(), 2);
  ASSERT_EQ(images->notes().size(), 1u);
  EXPECT_NE(images->notes()[0].find("2 links to nowhere (cat/x ...)"), std::string::npos) << images->notes()[0];
  const auto report = check_data(folder.path());
  EXPECT_EQ(report.files, 4);
  ASSERT_EQ(report.refused.size(), 2u);
  EXPECT_EQ(report.refused[1].path, "dog");
  EXPECT_NE(report.refused[1].reason.find("a link to nowhere"), std::string::npos);
}

TEST(ImageFolder, TellsOfArchivesAmongTheImages) {
  const TempFolder folder;
  for (const char* name : {"cat/1.jpg", "bird/1.jpg", "dog.tar", "fox.ZIP", "hen.tar.gz"}) folder.write(name, "x");
  const auto images = open_image_folder(folder.path());
  ASSERT_EQ(images->notes().size(), 1u);
  EXPECT_EQ(images->notes()[0], "3 archives (dog.tar ...) among the images are not read: unpack them");
}

TEST(ImageFolder, FoldersThatLinkToEachOtherAreRefused) {
  const TempFolder folder;
  for (int i = 0; i < 9; ++i) folder.write(concat("c", i, "/1.jpg"), "x");
  fs::create_directory_symlink("../c0", folder / "c1/zero");
  EXPECT_EQ(open_image_folder(folder.path())->size(), 10) << "one link multiplies nothing";
  for (int i = 0; i < 9; ++i)
    for (int k = 0; k < 9; ++k)
      if (i != k) fs::create_directory_symlink(concat("../c", k), folder / concat("c", i, "/to", k));
  EXPECT_THROWS_WITH(open_image_folder(folder.path()), UsageError, "remove the links between folders");
}

}  // namespace
}  // namespace unlabel::data
