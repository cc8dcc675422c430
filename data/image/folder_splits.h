#pragma once

#include <unlabel/augment/codec/image_files.h>
#include <unlabel/data/dataset.h>

#include <memory>
#include <string>
#include <vector>

namespace unlabel::data {

/// The layout of a folder of images, and where its test images are.
struct FolderSplits {
  augment::FolderLayout layout;
  std::string test;                      ///< the folder of test images that is taken; empty: none
  std::string test_choice;               ///< why it and not another, for a note; empty: there is one only
  std::vector<std::string> forbidden{};  ///< a note for each folder that may not be read: taken for empty
  std::vector<std::string> unmounted{};  ///< a note for each split that is a link to nowhere
};

/// Throws UsageError when the folder cannot be read.
FolderSplits splits_of(const std::string& directory);

/// The images of a split, by folder_layout's rules. Throws UsageError for a folder that is missing or unreadable, NoImages where nothing is
/// left to train on.
std::shared_ptr<const Dataset> open_folder_split(const std::string& directory, Split split);

/// Whether a folder beside the training images is named for testing.
bool has_folder_split(const std::string& directory, Split split);

/// Test images that are named apart: the folder's test split where there is one, else all images in it; a folder with training images and
/// without test images is refused (UsageError).
std::shared_ptr<const Dataset> open_test_folder(const std::string& directory);

}  // namespace unlabel::data
