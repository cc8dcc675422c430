#pragma once

#include <unlabel/augment/codec/image_files.h>

#include <string>
#include <vector>

namespace unlabel::data {

/// What a spec of a data set names, see open_dataset.
struct Place {
  std::string kind;  ///< "folder", "cifar10", "idx" or "shards"; empty: not said
  std::string directory;
};

/// By its prefix alone. Throws UsageError when nothing is named.
Place parse_place(const std::string& spec);

/// By its prefix, or by its content. Throws UsageError when nothing is named, or a folder cannot be read.
Place resolve_place(const std::string& spec);

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

}  // namespace unlabel::data
