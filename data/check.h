#pragma once

#include <unlabel/augment/codec/decode.h>

#include <cstdint>
#include <string>
#include <vector>

namespace unlabel::data {

struct CheckOptions {
  int threads = 2;                  ///< that decode; at least 1
  augment::DecodeOptions decode{};  ///< limits, and whether warnings of libjpeg count
};

/// A file and what is wrong with it.
struct CheckedFile {
  std::string path;  ///< below the root
  std::string reason;
};

/// Every file is one of three: ok, refused or broken.
struct CheckReport {
  std::int64_t files = 0;
  std::int64_t ok = 0;    ///< images that can be decoded, of the training and of the test split
  std::int64_t test = 0;  ///< those of them that open_dataset takes as test images, and pretrain leaves out
  /// Files that neither split uses, and why: by its name, hidden, in a folder that is left out. A folder beside the images that may not be
  /// read counts as one file, with a slash behind its name.
  std::vector<CheckedFile> refused;
  std::vector<CheckedFile> broken;  ///< images that are used, or left out as another split, and cannot be decoded
  std::vector<std::string> notes;   ///< of both splits (Dataset::notes), and warnings of decoding
};

/// Examines every regular file in a folder and below, hidden ones too, and reports whether open_dataset uses it, and why not; what it
/// takes is read and decoded, as in training. Of shards it decodes every image (a damaged archive counts as one broken file); of CIFAR-10
/// and IDX it opens the files (a spec as open_dataset takes it). Each list is in the order of the paths. Files above 1 GiB are broken,
/// unread. Throws UsageError as open_dataset does, but not for a folder without images, and for fewer than one thread; of IDX and CIFAR-10
/// only what is no fault of the files (LimitError, ForbiddenFolder).
CheckReport check_data(const std::string& spec, const CheckOptions& options = {});

}  // namespace unlabel::data
