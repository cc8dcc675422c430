#pragma once

#include <unlabel/augment/error.h>
#include <unlabel/data/dataset.h>

#include <memory>
#include <string>
#include <vector>

namespace unlabel::data {

/// A folder without images of the wanted split.
class NoImages : public UsageError {
 public:
  using UsageError::UsageError;
};

/// All images in a folder and the folders below it, in the order of their relative paths, byte by byte.
///
/// - An image is a regular file with the name of one (augment::is_image_name: jpg, jpeg, jfif, png ...). Everything else is ignored, and so
///   is a file or folder whose name begins with a dot, and a folder of thumbnails or deleted files (augment::is_system_folder).
/// - Links are followed, but not into a folder that they are inside of. A broken link with an image's name counts
///   as an image, which then cannot be read.
/// - Further down, a folder with one for training and one for testing in it gives only the former's images (folder_walk.h).
/// - The images are labeled when every one of them lies in (or anywhere below) one of at least two first-level
///   folders: those with images are the classes, numbered in byte order of their names. Otherwise none is labeled:
///   an image at the top, or one folder only, says that the folders are no classes.
///
/// Files are read relative to the opened folder, so that it may be renamed meanwhile. A file above 1 GiB is refused
/// when it is read. Sizes are looked up, on several threads, when they are first asked for (for_each_file, fingerprint, index). Throws as
/// list_folder does for a folder that is missing or unreadable (it or one below), and NoImages.
///
/// `below` names the folder in `directory` to open, if not itself. Folders directly in that one which `left_out` names are passed over,
/// as if they were not there. `notes` come first among the data set's own. Of folders further down with training and test images inside
/// only the training images are taken; with Split::kTest they are a UsageError.
std::shared_ptr<const Dataset> open_image_folder(const std::string& directory, const std::string& below = "",
                                                 const std::vector<std::string>& left_out = {},
                                                 std::vector<std::string> notes = {}, Split split = Split::kTrain);

/// The same from its Dataset::file_index(), as open_indexed does.
std::shared_ptr<const Dataset> open_indexed_folder(const std::string& directory, const std::string& index);

/// Whether the folder holds an image at any depth; ends at the first one. Throws ForbiddenFolder where none is found and a folder may not
/// be read.
bool contains_image(const std::string& directory);

}  // namespace unlabel::data
