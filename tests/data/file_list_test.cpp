#include <unlabel/augment/error.h>
#include <unlabel/data/file_list.h>
#include <unlabel/data/image/image_folder.h>

#include "data/temp_folder.h"
#include <gtest/gtest.h>

#include <filesystem>

namespace unlabel::data {
namespace {

namespace fs = std::filesystem;

TEST(FileList, SaysWhatHasChanged) {
  const TempFolder folder;
  for (const char* name : {"a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4 with\nodd\tname.jpg"}) folder.write(name, "12345");
  const auto list = folder / "files.gz";
  write_file_list(list, *open_image_folder(folder.path()));
  const auto changes = [&] { return changes_since(list, *open_image_folder(folder.path())); };
  EXPECT_EQ(changes(), "no name and no size, but what the files hold");
  folder.write("a/2.jpg", "1234567");
  EXPECT_EQ(changes(), "1 file has another size (a/2.jpg: 7 bytes, it had 5)");
  fs::remove(folder / "a/1.jpg");
  fs::remove(folder / "b/3.jpg");
  folder.write("c/5.jpg", "1");
  EXPECT_EQ(changes(),
            "2 files are gone (a/1.jpg ...), 1 is new (c/5.jpg), 1 has another size (a/2.jpg: 7 bytes, it had 5)");
}

TEST(FileList, RefusesWhatIsNone) {
  const TempFolder folder;
  folder.write("a/1.jpg", "12345");
  const auto images = open_image_folder(folder.path());
  EXPECT_THROW(changes_since(folder / "nowhere", *images), Error);
  EXPECT_THROW(write_file_list(folder / "no/folder/list", *images), Error);
  write_file_list(folder / "list", *images);
  fs::resize_file(folder / "list", fs::file_size(folder / "list") - 9);
  EXPECT_THROW(changes_since(folder / "list", *images), Error);
  for (const std::string& text : {std::string("no zero byte"), std::string("x a\0", 4), std::string("12\0", 3),
                                  std::string(std::size_t{1} << 20, 'a')}) {
    folder.write("list", text);
    EXPECT_THROW(changes_since(folder / "list", *images), Error) << text.substr(0, 20);
  }
}

}  // namespace
}  // namespace unlabel::data
