#include <unlabel/data/dataset.h>
#include <unlabel/data/folder_walk.h>
#include <unlabel/data/image_folder.h>
#include <unlabel/data/listing_cache.h>

#include "temp_folder.h"
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>

namespace unlabel::data {
namespace {

namespace fs = std::filesystem;

/// Another place for listings while it lives.
class CacheAt {
 public:
  explicit CacheAt(const std::string& folder) { setenv("UNLABEL_CACHE", folder.c_str(), 1); }
  ~CacheAt() { unsetenv("UNLABEL_CACHE"); }
};

/// Makes folders look as if they had not been touched for a minute, as those of a settled data set.
void settle(const std::string& folder) {
  const auto then = fs::file_time_type::clock::now() - std::chrono::minutes(1);
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_directory()) fs::last_write_time(entry.path(), then);
  fs::last_write_time(folder, then);
}

void touch(const std::string& path) { close(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666)); }

/// 20 folders of 1000 empty images.
void make_tree(const std::string& root) {
  for (int f = 0; f < 20; ++f) {
    const std::string folder = root + "/c" + std::to_string(f);
    fs::create_directories(folder);
    for (int i = 0; i < 1000; ++i) touch(folder + "/" + std::to_string(i) + ".jpg");
  }
}

class CiListingCache : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    tree_ = new TempFolder;
    make_tree(tree_->path());
  }
  static void TearDownTestSuite() { delete tree_; }
  void SetUp() override { settle(root); }

  static TempFolder* tree_;
  const TempFolder cache;
  const CacheAt at{cache.path()};
  const std::string root = tree_->path();
};
TempFolder* CiListingCache::tree_ = nullptr;

TEST_F(CiListingCache, SeesEveryFolderThatChanged) {
  for (const auto& entry : fs::directory_iterator(root))
    fs::last_write_time(entry.path(), fs::file_time_type::clock::now());
  open_image_folder(root);
  EXPECT_TRUE(fs::is_empty(cache.path())) << "a folder that changed just now may change again within the clock's step";
  settle(root);
  const auto list = [&] { return open_image_folder(root)->size(); };
  EXPECT_EQ(list(), 20'000);
  ASSERT_EQ(std::distance(fs::directory_iterator(cache.path()), {}), 1) << "kept";
  EXPECT_EQ(list(), 20'000);
  const auto fingerprint = open_image_folder(root)->fingerprint();

  touch(root + "/c7/new.jpg");
  EXPECT_EQ(list(), 20'001);
  fs::remove(root + "/c8/3.jpg");
  fs::create_directories(root + "/d/e");
  touch(root + "/d/e/deep.png");
  EXPECT_EQ(list(), 20'001);
  fs::remove(root + "/c7/new.jpg");
  fs::remove_all(root + "/d");
  touch(root + "/c8/3.jpg");
  EXPECT_EQ(open_image_folder(root)->fingerprint(), fingerprint);

  // The first file of a folder, as the system lists it, is looked at.
  settle(root);
  list();
  for (int i = 0; i < 1000; ++i) fs::resize_file(root + "/c9/" + std::to_string(i) + ".jpg", 5);
  settle(root);
  EXPECT_NE(open_image_folder(root)->fingerprint(), fingerprint);
}

TEST_F(CiListingCache, AFreshListingLooksAtEveryFile) {
  const auto fingerprint = open_dataset(root, Split::kTrain)->fingerprint();
  std::string last;  // as the system lists them: not the first
  for (const auto& entry : fs::directory_iterator(root + "/c3")) last = entry.path();
  fs::resize_file(last, 7);
  EXPECT_EQ(open_dataset(root, Split::kTrain)->fingerprint(), fingerprint) << "what a kept listing cannot tell";
  EXPECT_NE(open_dataset(root, Split::kTrain, Listing::kFresh)->fingerprint(), fingerprint);
  fs::resize_file(last, 0);
  EXPECT_EQ(open_dataset(root, Split::kTrain, Listing::kFresh)->fingerprint(), fingerprint);
}

TEST_F(CiListingCache, DoesNotTrustWhatIsInIt) {
  open_image_folder(root);
  const auto file = fs::directory_iterator(cache.path())->path();
  const auto size = fs::file_size(file);
  const auto fingerprint = open_image_folder(root)->fingerprint();
  for (const std::uintmax_t cut : {std::uintmax_t{10}, size - 1}) {
    fs::resize_file(file, cut);
    EXPECT_EQ(open_image_folder(root)->fingerprint(), fingerprint) << "cut to " << cut;
    EXPECT_EQ(fs::file_size(file), size) << "written anew";
  }
}

TEST(ListingCache, IsNotKeptForFewFilesOrWithoutAPlace) {
  const TempFolder folder, cache;
  folder.write("a/1.jpg", "1");
  settle(folder.path());
  {
    const CacheAt at(cache.path());
    EXPECT_EQ(open_image_folder(folder.path())->size(), 1);
    EXPECT_TRUE(fs::is_empty(cache.path()));
  }
  const CacheAt nowhere("");
  EXPECT_FALSE(cache_folder().has_value());
  EXPECT_EQ(open_image_folder(folder.path())->size(), 1);
}

}  // namespace
}  // namespace unlabel::data
