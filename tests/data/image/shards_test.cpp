#include <unlabel/augment/error.h>
#include <unlabel/data/check.h>
#include <unlabel/data/formats.h>
#include <unlabel/data/image/shards.h>
#include <unlabel/data/image/tar.h>

#include "data/temp_folder.h"
#include "inject/faults.h"
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace unlabel::data {
namespace {

namespace fs = std::filesystem;

std::string archive_of(const std::vector<std::pair<std::string, std::string>>& members) {
  std::string bytes;
  for (const auto& [name, contents] : members)
    bytes.append(tar_header(name, contents.size())).append(contents).append(tar_padding(contents.size()));
  return bytes.append(tar_end());
}

std::string bytes_at(const Dataset& dataset, std::int64_t index) {
  augment::ImageSource source;
  dataset.read(index, source);
  return {source.bytes.begin(), source.bytes.end()};
}

TEST(Shards, FollowWebDatasetsConvention) {
  const TempFolder folder;
  folder.write("set-train-000001.tar", archive_of({{"c/30.json", "{}"}, {"c/30.PNG", "thirty"}, {"c/30.cls", "2"}}));
  folder.write("set-train-000000.tar", archive_of({{"a/1.cls", "0\n"},
                                                   {"a/1.jpg", "one"},
                                                   {"a/1.seg.png", "a mask"},
                                                   {"a/1.txt", "words"},
                                                   {"a/2.txt", "no image"},
                                                   {"b.d/3.webp", "three"},
                                                   {"b.d/3.cls", "1"}}));
  folder.write("set-val-000000.tar", archive_of({{"x.jpg", "x"}, {"x.cls", "1"}}));
  const auto train = open_dataset("shards:" + folder.path(), Split::kTrain);
  ASSERT_EQ(train->size(), 3);
  EXPECT_EQ(bytes_at(*train, 2), "thirty");
  EXPECT_EQ(bytes_at(*train, 0), "one");
  EXPECT_EQ(bytes_at(*train, 1), "three");
  EXPECT_EQ(train->label(0), 0);
  EXPECT_EQ(train->label(1), 1);
  EXPECT_EQ(train->label(2), 2);
  EXPECT_EQ(train->class_names(), (std::vector<std::string>{"0", "1", "2"}));
  EXPECT_EQ(train->name(1), "set-train-000000.tar:b.d/3.webp");
  EXPECT_NE(train->description().find("2 shards in "), std::string::npos) << train->description();
  augment::ImageSource source;
  train->read_start(0, 2, source);
  EXPECT_EQ(source.bytes.size(), 2u);
  EXPECT_THROW(train->read(3, source), UsageError);

  const auto test = open_dataset("shards:" + folder.path(), Split::kTest);
  EXPECT_EQ(test->size(), 1);
  EXPECT_TRUE(has_test_images("shards:" + folder.path()));
  EXPECT_NE(test->fingerprint(), train->fingerprint());
  folder.write("classes.txt", std::string_view("cat\ndog\nfish\n"));
  EXPECT_EQ(open_shards(folder.path(), Split::kTrain)->class_names(), (std::vector<std::string>{"cat", "dog", "fish"}));
  folder.write("classes.txt", std::string_view("cat\n"));
  EXPECT_THROWS_WITH(open_shards(folder.path(), Split::kTrain), UsageError, "a sample is of 2");
}

TEST(Shards, WithoutAClassForEachThereAreNoLabels) {
  const TempFolder folder;
  folder.write("train/0.tar", archive_of({{"a.jpg", "a"}, {"a.cls", "1"}, {"b.jpg", "b"}}));
  const auto images = open_shards(folder.path(), Split::kTrain);
  EXPECT_EQ(images->size(), 2);
  EXPECT_EQ(images->label(0), -1);
  EXPECT_TRUE(images->class_names().empty());
  EXPECT_FALSE(has_test_images("shards:" + folder.path()));
  EXPECT_THROWS_WITH(open_shards(folder.path(), Split::kTest), UsageError, "no test archives in");
}

TEST(Shards, TakeNamesWithSeveralDotsWhereASampleHasNoOther) {
  const TempFolder folder;
  folder.write("0.tar", archive_of({{"photo.2021.00.jpg", "first"},
                                    {"photo.2021.00.cls", "1"},
                                    {"photo.2021.01.jpg", "second"},
                                    {"photo.2021.01.cls", "0"},
                                    {"other.small.png", "third"},
                                    {"other.cls", "2"},
                                    {"x.jpg", "fourth"},
                                    {"x.mask.png", "a mask"},
                                    {"x.cls", "1"},
                                    {"y.heic", "not read"}}));
  const auto images = open_shards(folder.path(), Split::kTrain);
  ASSERT_EQ(images->size(), 4);
  EXPECT_EQ(bytes_at(*images, 0), "first");
  EXPECT_EQ(bytes_at(*images, 1), "second");
  EXPECT_EQ(bytes_at(*images, 2), "third");
  EXPECT_EQ(bytes_at(*images, 3), "fourth");
  EXPECT_EQ(images->label(0), 1);
  EXPECT_EQ(images->label(1), 0);
  EXPECT_EQ(images->label(2), 2);
  EXPECT_EQ(images->label(3), 1);
  const auto notes = images->notes();
  ASSERT_EQ(notes.size(), 2u);
  EXPECT_NE(notes[0].find("3 images (0.tar:other.small.png ...) taken by the last extension"), std::string::npos)
      << notes[0];
  EXPECT_NE(notes[1].find("passed over are 2 members that end like images (0.tar:x.mask.png ...): another"),
            std::string::npos)
      << notes[1];
}

TEST(Shards, AnEmptyImageIsBrokenAndNotGone) {
  const TempFolder folder;
  folder.write("0.tar", archive_of({{"a.jpg", ""}, {"b.jpg", "b"}}));
  const auto images = open_shards(folder.path(), Split::kTrain);
  ASSERT_EQ(images->size(), 2);
  augment::ImageSource source;
  EXPECT_THROWS_WITH(images->read(0, source), Error, "0.tar:a.jpg: the file is empty");
}

TEST(Shards, ArchivesPutTogetherByCatAreDamaged) {
  const TempFolder folder;
  folder.write("0.tar", archive_of({{"a.jpg", "a"}}) + archive_of({{"b.jpg", "b"}}));
  EXPECT_THROWS_WITH(open_shards(folder.path(), Split::kTrain), UsageError, "0.tar: more comes after its end");
  const auto report = check_data("shards:" + folder.path());
  ASSERT_EQ(report.broken.size(), 1u);
  EXPECT_EQ(report.broken[0].path, "0.tar");
}

TEST(Shards, KnowSplitsByTheirNames) {
  const TempFolder folder;
  folder.write("Train/0.tar", archive_of({{"a.jpg", "a"}}));
  folder.write("Valid/0.tar", archive_of({{"b.jpg", "b"}}));
  EXPECT_EQ(bytes_at(*open_shards(folder.path(), Split::kTrain), 0), "a");
  EXPECT_EQ(bytes_at(*open_shards(folder.path(), Split::kTest), 0), "b");
  const TempFolder flat;
  flat.write("set-0.tar", archive_of({{"a.jpg", "a"}}));
  flat.write("set-dev-0.tar", archive_of({{"b.jpg", "b"}}));
  const auto train = open_shards(flat.path(), Split::kTrain);
  EXPECT_EQ(train->size(), 1);
  EXPECT_NE(train->description().find("1 archive (set-dev-0.tar) named as test"), std::string::npos)
      << train->description();
}

TEST(Shards, TellWhatIsBesideTheFolderOfTrainingArchives) {
  const TempFolder folder;
  folder.write("train/0.tar", archive_of({{"a.jpg", "a"}}));
  EXPECT_TRUE(open_shards(folder.path(), Split::kTrain)->notes().empty());
  folder.write("1.tar", archive_of({{"b.jpg", "b"}}));
  folder.write("2.tar", archive_of({{"c.jpg", "c"}}));
  const auto train = open_shards(folder.path(), Split::kTrain);
  EXPECT_EQ(train->size(), 1);
  ASSERT_EQ(train->notes().size(), 1u);
  EXPECT_EQ(train->notes()[0],
            "2 archives (1.tar ...) beside " + folder.path() + "/train left out of the training images");
  // As `unlabel pack` names them: no doubt, and no warning.
  const TempFolder packed;
  packed.write("train-0.tar", archive_of({{"a.jpg", "a"}}));
  packed.write("test-0.tar", archive_of({{"b.jpg", "b"}}));
  const auto images = open_shards(packed.path(), Split::kTrain);
  EXPECT_TRUE(images->notes().empty());
  EXPECT_NE(images->description().find("no labels; left out: 1 archive (test-0.tar) named as test images"),
            std::string::npos)
      << images->description();
  std::filesystem::create_directory(folder / "train2017");
  EXPECT_EQ(open_shards(folder.path(), Split::kTrain)->size(), 1) << "a folder without archives";
  folder.write("train2017/0.tar", archive_of({{"d.jpg", "d"}}));
  EXPECT_THROWS_WITH(open_shards(folder.path(), Split::kTrain), UsageError,
                     "several folders of training archives, train/ and train2017/");
}

TEST(Shards, FingerprintIsOfNamesSizesAndClasses) {
  const TempFolder folder;
  const auto fingerprint = [&](const char* name, const char* contents, const char* label) {
    folder.write("0.tar", archive_of({{name, contents}, {"a.cls", label}}));
    return open_shards(folder.path(), Split::kTrain)->fingerprint();
  };
  const auto before = fingerprint("a.jpg", "xx", "0");
  EXPECT_EQ(fingerprint("a.jpg", "xx", "0"), before);
  EXPECT_NE(fingerprint("a.png", "xx", "0"), before);
  EXPECT_NE(fingerprint("a.jpg", "xxx", "0"), before) << "the archive's size is the same, as blocks are filled up";
  EXPECT_NE(fingerprint("a.jpg", "xx", "1"), before);
}

TEST(Shards, NamesOfAnArchiveTakeOneOpening) {
  const TempFolder folder;
  folder.write("train/0.tar", archive_of({{"a.jpg", "one"}, {"b.jpg", "two"}, {"c.jpg", "three"}}));
  const auto shards = open_shards(folder.path(), Split::kTrain);
  const inject::Faults faults({{.call = "open", .path = "0.tar", .error = EIO, .skip = 1}});
  EXPECT_EQ(shards->name(0), "0.tar:a.jpg");
  EXPECT_EQ(shards->name(1), "0.tar:b.jpg");
  EXPECT_EQ(shards->name(2), "0.tar:c.jpg");
  EXPECT_EQ(faults.injected(), 0);
}

TEST(Shards, OpenTheSameFromAnIndex) {
  const TempFolder here;
  here.write("train/0.tar", archive_of({{"a.jpg", "one"}, {"a.cls", "0"}}));
  here.write("train/1.tar", archive_of({{"b.jpg", "two"}, {"b.cls", "1"}, {"c.jpg", "three"}, {"c.cls", "0"}}));
  here.write("classes.txt", std::string_view("c\xe9t\ndog\n"));
  const auto scanned = open_shards(here.path(), Split::kTrain);
  const auto indexed = open_indexed("shards:" + here.path(), scanned->file_index());
  ASSERT_EQ(indexed->size(), 3);
  EXPECT_EQ(indexed->fingerprint(), scanned->fingerprint());
  EXPECT_EQ(indexed->class_names(), scanned->class_names());
  for (std::int64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(bytes_at(*indexed, i), bytes_at(*scanned, i));
    EXPECT_EQ(indexed->label(i), scanned->label(i));
    EXPECT_EQ(indexed->name(i), scanned->name(i));
  }
  fs::resize_file(here / "train/1.tar", 1000);
  EXPECT_THROWS_WITH(open_indexed("shards:" + here.path(), scanned->file_index()), MismatchError,
                     "1.tar has 1000 bytes");
}

TEST(Shards, ClassesThatAreNoLineAreRefusedBeforeAnythingIsWritten) {
  for (const std::string name : {"a\nb", "a\rb", "tab\there", "b\x7f"}) {
    const TempFolder folder;
    folder.write_image("in/" + name + "/1.png");
    folder.write_image("in/dog/1.png");
    const auto images = open_dataset(folder / "in", Split::kTrain);
    EXPECT_THROWS_WITH(write_shards(*images, folder / "out", "train"), UsageError, "control character");
    EXPECT_FALSE(fs::exists(folder / "out"));
  }
  const TempFolder folder;
  for (const char* name : {"cat", "with space ", "#x", "\xff"}) folder.write_image(concat("in/", name, "/1.png"));
  const auto images = open_dataset(folder / "in", Split::kTrain);
  write_shards(*images, folder / "out", "train");
  EXPECT_EQ(open_shards(folder / "out", Split::kTrain)->class_names(), images->class_names());
}

TEST(Shards, DamageIsNamed) {
  const TempFolder folder;
  EXPECT_THROWS_WITH(open_shards(folder.path(), Split::kTrain), UsageError, "unlabel pack makes some");
  const auto good = archive_of({{"a.jpg", "a"}, {"b.jpg", std::string(5000, 'b')}});
  folder.write("0.tar", std::string_view(good).substr(0, 3000));
  EXPECT_THROWS_WITH(open_shards(folder.path(), Split::kTrain), UsageError,
                     "0.tar: a file is longer than what is left");
  for (const char* wrong : {"x", "-1", "1.5", "99999999999", "1000000", ""}) {
    folder.write("0.tar", archive_of({{"a.jpg", "a"}, {"a.cls", wrong}}));
    EXPECT_THROWS_WITH(open_shards(folder.path(), Split::kTrain), UsageError, "which is no class");
  }
  folder.write("0.tar", archive_of({{"a.txt", "a"}}));
  EXPECT_THROWS_WITH(open_shards(folder.path(), Split::kTrain), UsageError, "no images in the archives");
  // An archive that shrinks while it is used.
  folder.write("0.tar", std::string_view(good));
  const auto images = open_shards(folder.path(), Split::kTrain);
  fs::resize_file(folder / "0.tar", 2000);
  augment::ImageSource source;
  EXPECT_THROWS_WITH(images->read(1, source), Error, "the file has changed");
}

TEST(Shards, PackedImagesAreTheSame) {
  const TempFolder folder;
  std::map<std::string, std::string> packed;  // contents to class
  for (int i = 0; i < 30; ++i) {
    const std::string name = std::string(i % 3 == 0 ? "cat" : "dog") + "/odd name " + std::to_string(i) + ".x.png";
    folder.write_image("in/train/" + name, 12, 10, static_cast<std::uint64_t>(i));
  }
  const auto images = open_dataset(folder / "in", Split::kTrain);
  const auto paths = write_shards(*images, folder / "out", "train", {.shard_bytes = 20000, .shuffle = true, .seed = 4});
  EXPECT_GT(paths.size(), 2u);
  for (const auto& path : paths) EXPECT_LE(fs::file_size(path), 20000u);
  const auto shards = open_dataset("shards:" + (folder / "out"), Split::kTrain);
  ASSERT_EQ(shards->size(), images->size());
  EXPECT_EQ(shards->class_names(), images->class_names());
  const auto pairs = [](const Dataset& dataset) {
    std::vector<std::pair<std::string, std::int64_t>> all;
    for (std::int64_t i = 0; i < dataset.size(); ++i) all.emplace_back(bytes_at(dataset, i), dataset.label(i));
    return all;
  };
  auto before = pairs(*images), after = pairs(*shards);
  EXPECT_NE(before, after) << "shuffled";
  std::ranges::sort(before);
  std::ranges::sort(after);
  EXPECT_EQ(before, after);
  write_shards(*images, folder / "again", "train", {.shard_bytes = 20000, .shuffle = true, .seed = 4});
  const auto read_back = [](const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  EXPECT_EQ(read_back(folder / "again/train-000001.tar"), read_back(folder / "out/train-000001.tar"));
  write_shards(*images, folder / "plain", "train", {.shuffle = false});
  EXPECT_EQ(pairs(*open_shards(folder / "plain", Split::kTrain)), pairs(*images));

  auto report = check_data("shards:" + (folder / "out"), {.threads = 3});
  EXPECT_EQ(report.files, 30);
  EXPECT_EQ(report.ok, 30);
  folder.write("bad/train-0.tar",
               archive_of({{"a.jpg", "none"}, {"b.png", read_back(folder / "in/train/cat/odd name 0.x.png")}}));
  report = check_data("shards:" + (folder / "bad"));
  EXPECT_EQ(report.ok, 1);
  EXPECT_EQ(report.broken.size(), 1u) << "as training counts it";
}

TEST(Shards, PixelsArePackedAsPng) {
  const TempFolder folder;
  std::string records;
  for (int i = 0; i < 4; ++i)
    records += std::string(1, static_cast<char>(i)) + std::string(3072, static_cast<char>(40 * i));
  folder.write("data_batch_1.bin", records);
  const auto cifar = open_dataset("cifar10:" + folder.path(), Split::kTrain);
  write_shards(*cifar, folder / "out", "train", {.shuffle = false});
  const auto shards = open_shards(folder / "out", Split::kTrain);
  ASSERT_EQ(shards->size(), 4);
  augment::ImageSource from_cifar, from_shards;
  for (std::int64_t i = 0; i < 4; ++i) {
    cifar->read(i, from_cifar);
    shards->read(i, from_shards);
    EXPECT_EQ(cv::norm(augment::decode(from_shards), from_cifar.pixels, cv::NORM_INF), 0);
    EXPECT_EQ(shards->label(i), i);
  }
  EXPECT_EQ(shards->class_names(), cifar->class_names());
}

TEST(Shards, HardLinksAreTheMembersThatTheyLeadTo) {
  const TempFolder folder;
  folder.write("in/a.jpg", "same");
  folder.write("in/a.cls", "1");
  folder.write("in/blob", "other");
  const std::string command =
      "cd " + (folder / "in") +
      " && ln a.jpg b.jpg && ln a.cls b.cls && ln blob c.jpg && ln a.cls c.cls && ln -s a.jpg d.jpg"
      " && ln -s a.jpg readme.txt && tar cf ../0.tar blob a.jpg a.cls b.jpg b.cls c.jpg c.cls d.jpg readme.txt"
      " && tar cf ../1.tar a.jpg a.cls d.jpg b.jpg";
  ASSERT_EQ(std::system(command.c_str()), 0);
  const auto images = open_shards(folder.path(), Split::kTrain);
  ASSERT_EQ(images->size(), 5);
  EXPECT_EQ(bytes_at(*images, 1), "same");
  EXPECT_EQ(bytes_at(*images, 2), "other") << "whatever its target is called";
  EXPECT_EQ(images->name(0), "0.tar:a.jpg");
  EXPECT_EQ(images->name(1), "0.tar:b.jpg");
  EXPECT_EQ(images->name(2), "0.tar:c.jpg");
  EXPECT_EQ(open_indexed("shards:" + folder.path(), images->file_index())->name(1), "0.tar:b.jpg");
  ASSERT_EQ(images->notes().size(), 2u);
  EXPECT_NE(images->notes()[1].find("left out: 2 links (0.tar:d.jpg ...)"), std::string::npos) << images->notes()[1];
  const auto report = check_data("shards:" + folder.path());
  EXPECT_EQ(report.files, 7);
  ASSERT_EQ(report.refused.size(), 2u);
  EXPECT_EQ(report.refused[0].path, "0.tar:d.jpg");
  EXPECT_NE(report.refused[0].reason.find("a link"), std::string::npos);
}

TEST(Shards, LongNamesAreWhole) {
  const TempFolder folder;
  const std::string stem = std::string(80, 'd') + "/" + std::string(120, 'n');
  folder.write("in/" + stem + "1.jpg", "one");
  folder.write("in/" + stem + "2.jpg", "two");
  for (const std::string format : {"gnu", "pax"}) {
    const std::string command = "cd " + (folder / "in") + " && tar --sort=name --format=" + format + " -cf ../0.tar *";
    ASSERT_EQ(std::system(command.c_str()), 0);
    const auto images = open_shards(folder.path(), Split::kTrain);
    ASSERT_EQ(images->size(), 2);
    EXPECT_EQ(images->name(0), "0.tar:" + stem + "1.jpg") << format;
    EXPECT_EQ(images->name(1), "0.tar:" + stem + "2.jpg") << format;
    EXPECT_EQ(open_indexed("shards:" + folder.path(), images->file_index())->name(1), images->name(1));
  }
}

TEST(Shards, PassOverWhatFoldersPassOver) {
  const TempFolder folder;
  folder.write("0.tar", archive_of({{"./._a.jpg", "AppleDouble"},
                                    {"./a.jpg", "a"},
                                    {"./._a.cls", "AppleDouble, and no class"},
                                    {"./a.cls", "0"},
                                    {"__MACOSX/b.jpg", "x"},
                                    {"@eaDir/c.jpg", "x"},
                                    {".git/d.jpg", "x"}}));
  const auto images = open_shards(folder.path(), Split::kTrain);
  ASSERT_EQ(images->size(), 1);
  EXPECT_EQ(bytes_at(*images, 0), "a");
  EXPECT_EQ(images->label(0), 0);
  ASSERT_EQ(images->notes().size(), 1u);
  EXPECT_NE(images->notes()[0].find("4 images (0.tar:./._a.jpg ...), hidden or in a folder of thumbnails"),
            std::string::npos)
      << images->notes()[0];
}

TEST(Shards, TellWhyThereAreNoLabels) {
  const TempFolder folder;
  folder.write("0.tar", archive_of({{"a.jpg", "a"}, {"a.cls", "1"}, {"b.jpg", "b"}, {"B.cls", "0"}}));
  const auto notes = open_shards(folder.path(), Split::kTrain)->notes();
  ASSERT_EQ(notes.size(), 2u);
  EXPECT_EQ(notes[0], "1 of 2 samples has no label (0.tar:b.jpg): no labels");
  EXPECT_NE(notes[1].find("1 member with a class belongs (0.tar:B.cls)"), std::string::npos) << notes[1];
  folder.write("0.tar", archive_of({{"a.jpg", "a"}, {"b.jpg", "b"}}));
  EXPECT_TRUE(open_shards(folder.path(), Split::kTrain)->notes().empty()) << "as nobody meant any";
}

TEST(Shards, ADeadLinkIsAnArchiveThatCannotBeOpened) {
  const TempFolder folder;
  folder.write("0.tar", archive_of({{"a.jpg", "a"}}));
  fs::create_symlink("nowhere", folder / "1.tar");
  EXPECT_THROWS_WITH(open_shards(folder.path(), Split::kTrain), UsageError, "1.tar, a link to nowhere");
  const auto report = check_data("shards:" + folder.path());
  ASSERT_EQ(report.broken.size(), 2u);
  EXPECT_EQ(report.broken[0].path, "0.tar:a.jpg");
  EXPECT_EQ(report.broken[1].path, "1.tar");
  fs::rename(folder / "1.tar", folder / "classes.txt");
  const auto notes = open_shards(folder.path(), Split::kTrain)->notes();
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes[0].find("1 link to nowhere (classes.txt)"), std::string::npos) << notes[0];
}

TEST(Shards, AnArchiveOfLinksAloneSaysSo) {
  const TempFolder folder;
  const std::string command = "cd " + folder.path() + " && ln -s nowhere a.jpg && tar cf 0.tar a.jpg && rm a.jpg";
  ASSERT_EQ(std::system(command.c_str()), 0);
  EXPECT_THROWS_WITH(open_shards(folder.path(), Split::kTrain), UsageError, "; not followed: 1 link (0.tar:a.jpg)");
}

TEST(Shards, ArchivesAreKnownInAnyCaseAndCompressedOnesTold) {
  const TempFolder folder;
  folder.write("0.TAR", archive_of({{"a.jpg", "a"}}));
  folder.write("1.tar", archive_of({{"b.jpg", "b"}}));
  folder.write("2.tar.gz", "x");
  folder.write("3.Tgz", "x");
  const auto images = open_shards(folder.path(), Split::kTrain);
  EXPECT_EQ(images->size(), 2);
  ASSERT_EQ(images->notes().size(), 1u);
  EXPECT_NE(images->notes()[0].find("2 compressed archives (2.tar.gz ...) in "), std::string::npos)
      << images->notes()[0];
}

TEST(Shards, TestArchivesNeedNoNameWhereTheyAreNamedAsSuch) {
  const TempFolder folder;
  folder.write("train-000000.tar",
               archive_of({{"a.jpg", "a"}}));  // as `unlabel pack` of a folder of test images makes it
  const auto named_train = open_test_images("shards:" + folder.path());
  EXPECT_EQ(named_train->size(), 1);
  ASSERT_EQ(named_train->notes().size(), 1u);
  EXPECT_EQ(named_train->notes()[0], "taken for test images is 1 archive (train-000000.tar) named as training images");
  folder.write("val-000000.tar", archive_of({{"b.jpg", "b"}, {"c.jpg", "c"}}));
  EXPECT_EQ(open_test_images("shards:" + folder.path())->size(), 2);
  const TempFolder train;
  train.write("train/0.tar", archive_of({{"a.jpg", "a"}}));
  EXPECT_THROWS_WITH(open_test_images("shards:" + train.path()), UsageError, "has train/ but no test/");
}

TEST(Shards, ClassesHaveNamesOfTheirOwn) {
  const TempFolder folder;
  folder.write("0.tar", archive_of({{"a.jpg", "a"}, {"a.cls", "0"}, {"b.jpg", "b"}, {"b.cls", "1"}}));
  folder.write("classes.txt", "cat\ndog\ncat\n");
  EXPECT_THROWS_WITH(open_shards(folder.path(), Split::kTrain), UsageError, "the class 'cat' twice, in lines 1 and 3");
  folder.write("classes.txt",
               "\xef\xbb\xbf"
               "cat\r\ndog\r\n\r\n\n");
  EXPECT_EQ(open_shards(folder.path(), Split::kTrain)->class_names(), (std::vector<std::string>{"cat", "dog"}));
}

}  // namespace
}  // namespace unlabel::data
