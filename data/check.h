#pragma once

#include <unlabel/augment/decode.h>

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

/// Every file is one of the three.
struct CheckReport {
  std::int64_t files = 0;
  std::int64_t ok = 0;
  std::vector<CheckedFile> refused;  ///< what is not taken: no image, an unknown format, one beyond the limits
  std::vector<CheckedFile> broken;   ///< images (by content or by name) that cannot be decoded
};

/// Reads and decodes every regular file in a folder and below, hidden ones too, or every image in shards (a damaged archive counts as one
/// broken file), or opens the files of CIFAR-10 or IDX (a spec as open_dataset takes it), and tells which cannot be used and why, in the
/// order of their paths. Files above 1 GiB are refused unread. Throws UsageError as open_dataset does, and for fewer than one thread.
CheckReport check_data(const std::string& spec, const CheckOptions& options = {});

}  // namespace unlabel::data
