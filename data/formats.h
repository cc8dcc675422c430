#pragma once

#include <unlabel/data/dataset.h>
#include <unlabel/data/io/files.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace unlabel::data {

/// A format of data sets. formats() lists them all.
struct Format {
  std::string name;     ///< the prefix of a spec: "idx" of idx:DIR
  std::string content;  ///< what makes a folder one, for messages: "IDX files"
  /// Whether a folder is one by its content; null: it is opened by the prefix only. The first format whose content it has is taken.
  std::function<bool(const std::string& directory, const FolderContents&)> matches;
  std::function<std::shared_ptr<const Dataset>(const std::string& directory, Split)> open;
  std::function<bool(const std::string& directory, Split)> has;  ///< whether a split is there
  /// Test images that are named apart (open_test_images); null: the test split.
  std::function<std::shared_ptr<const Dataset>(const std::string& directory)> open_test{};
  /// From another's Dataset::file_index(); null: its data sets have none.
  std::function<std::shared_ptr<const Dataset>(const std::string& directory, const std::string& index)> open_indexed{};
};

/// All formats, in the order in which a folder's content is compared with them; the last one, a folder of images, takes any.
const std::vector<Format>& formats();

/// Adds a format before the folder of images, to be called before anything else, as launch::program does. Throws UsageError for a name
/// that is taken or is not of small letters and digits, and without `open` or `has`.
void add_format(Format format);

/// The prefixes for a help text: "folder:DIR, cifar10:DIR ...".
std::string format_prefixes();

/// What a spec of a data set names, see open_dataset.
struct DatasetLocation {
  const Format* format = nullptr;  ///< null: not said
  std::string directory;
};

/// By its prefix alone. Throws UsageError when nothing is named.
DatasetLocation parse_location(const std::string& spec);

/// By its prefix, or by its content. Throws UsageError when nothing is named, or a folder cannot be read.
DatasetLocation resolve_location(const std::string& spec);

/// Opens a data set, by its content or by a prefix:
///
/// - `cifar10:DIR`: data_batch_*.bin for training, test_batch.bin for testing (image/cifar10.h)
/// - `idx:DIR`: train-images-idx3-ubyte for training, t10k-images-idx3-ubyte for testing, plain or .gz (image/idx.h)
/// - `shards:DIR`: tar archives by WebDataset's convention (image/shards.h)
/// - `folder:DIR`: the image folder that `split` names in DIR (image/image_folder.h)
///
/// Without a prefix, DIR is what its files say: CIFAR-10, IDX, else a folder of images; with files of the former beside folders of images
/// it is refused, as either may be meant. A folder whose name begins like a prefix is written
/// `./idx:...`.
///
/// Folders directly in DIR are splits by their names (augment::named_split, augment::folder_layout): train, training ... and test, val,
/// valid ... in any case. What is named as test images is never part of the training images, so that no image is both: where nothing else
/// is left, the training split is an error. To train on them, name them: DIR/test. A folder `train` among other folders of images, none of
/// them a split, is a class of that name (airplane/, car/, train/). Of several folders of test images the first by that list is taken which
/// has class folders, and the first of all where none has. A folder beside train/ that may not be read (no permission) counts as one
/// without images. Dataset::notes lists what was guessed.
///
/// Throws UsageError for a folder that is missing, empty, unreadable or unlike any of them, saying what was looked for and what is there.
std::shared_ptr<const Dataset> open_dataset(const std::string& spec, Split split);

/// Opens what another process opened at `spec`, by its Dataset::file_index(), without listing anything; `spec` may name another place here.
/// Looks at 16 files, evenly spaced: throws MismatchError that names the first one that is missing or of another size.
std::shared_ptr<const Dataset> open_indexed(const std::string& spec, const std::string& index);

/// Whether there are test images: whether open_dataset(spec, Split::kTest) finds any. Throws UsageError when the folder cannot be read.
bool has_test_images(const std::string& spec);

/// Opens test images that are named apart from the training ones: a data set whose test split is taken, or a folder of the test images (or
/// of tar archives of them) themselves. A folder that has training images but no test images in it is refused (UsageError), so that
/// training images never pass for test images; else as open_dataset.
std::shared_ptr<const Dataset> open_test_images(const std::string& spec);

}  // namespace unlabel::data
