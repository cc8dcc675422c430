#pragma once

#include <unlabel/data/dataset.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

// Checks of a training and a test set before features are computed.

namespace unlabel::eval {

/// `test`, labeled by its first-level folders where it has no labels and some of these folders are named as training classes: a single
/// class folder (a test of defective parts only), or images beside class folders. Images in no such folder remain unlabeled. In all other
/// cases, and where samples are not files, `test` itself.
std::shared_ptr<const data::Dataset> labeled_by_folder(std::shared_ptr<const data::Dataset> test,
                                                       const std::vector<std::string>& training_classes);

/// Test images that are training images too.
struct SharedImages {
  std::int64_t compared = 0;  ///< test images that were compared with all training images that may equal them
  std::int64_t shared = 0;    ///< of these, those with the content of a training image
  std::string example;        ///< "cat/1.jpg is cat/7.jpg of the training images"
  /// "12 of 256 test images that were compared are training images too (...): ...", or that none could be compared; empty when none is
  /// shared.
  std::string sentence() const;
};

/// Searches the training images for at most `most` test images, evenly spaced, by content, regardless of names: files and samples of
/// archives are compared with those of the same size, images in arrays with all others. At most 1024 training files are read, those of the
/// same name first. Broken images are ignored. Throws IoError, and UsageError when the process has too many open files.
SharedImages find_shared_images(const data::Dataset& train, const data::Dataset& test, std::int64_t most = 256);

}  // namespace unlabel::eval
