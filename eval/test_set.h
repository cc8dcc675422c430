#pragma once

#include <unlabel/data/dataset.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

// What can be known of a training and a test set before an encoder sees them.

namespace unlabel::eval {

/// `test`, labeled by its first-level folders when it has no labels of its own and some of these folders bear names of training classes:
/// one class folder alone (only images with defects are tested), or images beside the folders. What lies in no such folder stays without a
/// label. Otherwise, and where samples are no files, `test` itself.
std::shared_ptr<const data::Dataset> labeled_by_folder(std::shared_ptr<const data::Dataset> test,
                                                       const std::vector<std::string>& training_classes);

/// Test images that are training images too.
struct SharedImages {
  std::int64_t compared = 0;  ///< test images of which it is known whether they are training images
  std::int64_t shared = 0;    ///< of these, those whose content is that of a training image
  std::string example;        ///< "cat/1.jpg is cat/7.jpg of the training images"
  /// "12 of 256 test images that were compared are training images too (...): ...", or that none could be compared; empty when there are
  /// none.
  std::string sentence() const;
};

/// Looks for at most `most` test images, evenly spaced, among the training images by their content, whatever they are called: files, and
/// samples of archives, are compared with those of their size, images in arrays with all others. At most 1024 training files are read,
/// those of the same name first. Broken images are passed over. Throws IoError, and UsageError of the process (too many open files).
SharedImages find_shared_images(const data::Dataset& train, const data::Dataset& test, std::int64_t most = 256);

}  // namespace unlabel::eval
