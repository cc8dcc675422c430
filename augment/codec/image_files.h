#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// Which files and folders belong to a data set, by their names: one list for training, `check`, `pack` and Python's Folder.

namespace unlabel::augment {

/// The extensions of images that we decode, in lower case: jpg jpeg jpe jif jfif png webp bmp tif tiff ppm pgm pbm pnm.
std::span<const std::string_view> image_extensions();

/// The same as a text: ".jpg .jpeg ...".
std::string image_extension_list();

/// Whether the name ends with one of them, in any case.
bool is_image_name(std::string_view name);

/// Whether the name ends like that of an image in a format that we do not decode: heic, avif, gif, jp2, jxl, svg, raw formats of cameras.
bool is_foreign_image_name(std::string_view name);

/// Whether a file is an archive, by its name, in any case.
enum class Packed : std::uint8_t {
  kNo,
  kTar,         ///< shards:DIR reads it
  kCompressed,  ///< .tar.gz, .zip and their like: not read
};
Packed packed_as(std::string_view name);
/// The endings of the latter, in lower case, with the dot.
std::span<const std::string_view> compressed_endings();

/// Whether a folder is one that operating systems and servers make for thumbnails, deleted files and the like, in any case: Synology's
/// @eaDir and #recycle, QNAP's @Recycle, Windows' $RECYCLE.BIN, macOS's __MACOSX, lost+found. They are never part of a data set.
bool is_system_folder(std::string_view name);

/// Which split of a data set a folder or an archive holds.
enum class NamedSplit { kNone, kTrain, kTest };

/// The split that a folder is named for, in any case, with numbers and with words such as `set` or `images` around it: train, training and
/// trainval; test, testing, val, valid, validation, dev, eval, evaluation, holdout ("val2017", "Training Set", "test_images").
NamedSplit named_split(std::string_view folder);

/// The position of a folder's name in that list of test names, from 0 (test); only for NamedSplit::kTest.
int test_name_rank(std::string_view folder);

/// The words of letters in a name, in lower case; a capital after a small letter begins another one: "train", "a" of "trainA_2".
std::vector<std::string> words_of(std::string_view name);

/// Whether one of the words in an archive's name is that of a test split: "imagenet-val-000003.tar".
bool has_test_word(std::string_view name);

/// Where the images of a folder's splits are.
struct FolderLayout {
  std::string train;                  ///< the folder with the training images; empty: the folder itself
  std::vector<std::string> left_out;  ///< folders directly in it that are no part of the training images
  std::vector<std::string> tests;     ///< folders named for testing, in the order of preference
  std::vector<std::string> notes;     ///< what was guessed by names, in sentences
  std::string refusal;                ///< why there are no training images; empty: there are
};

/// How folder_layout examines folders, by their names in the directory.
struct FolderProbe {
  std::function<bool(const std::string&)> holds_images;  ///< at any depth
  std::function<std::vector<std::string>(const std::string&)> folders_in;
};

/// The layout of `directory`, which has `folders` directly in it (hidden and system folders left out):
///
/// - With a folder named for training and another one named for testing, the former holds the training images and all else is left out.
///   Two named for training are refused.
/// - A folder named for training without one for testing is a class of that name where other folders beside it hold images (airplane/,
///   car/, train/), unless one of these has class folders of the same names in it, as a split would.
/// - Without one for training, the training images are all but those in folders named for testing; where nothing else is left, there are
///   none.
///
/// `notes` lists whatever is left out, and whatever is used although it is named as a split.
FolderLayout folder_layout(const std::string& directory, const std::vector<std::string>& folders, bool images_beside,
                           const FolderProbe& probe);

/// The part of a folder below the root of a data set that is used.
struct NestedSplit {
  std::vector<std::string> taken;  ///< the folders named for training when others are named for testing, else all
  bool left_out = false;           ///< whether everything beside `taken` is left out, images too
  std::vector<std::string> tests;  ///< named for testing, and used all the same, as none is named for training
};

/// By the names of the `folders` in it (hidden and system folders left out).
NestedSplit nested_split(const std::vector<std::string>& folders);

}  // namespace unlabel::augment
