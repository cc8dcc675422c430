#pragma once

#include <array>
#include <string>
#include <string_view>

namespace unlabel::data {

/// Folders, and words in the names of archives, that hold test images: the first that is there counts.
inline constexpr std::array<std::string_view, 3> kTestNames{"test", "val", "validation"};

/// What a spec of a data set names, see open_dataset.
struct Place {
  std::string kind;  ///< "folder", "cifar10", "idx" or "shards"
  std::string directory;
};

/// By its prefix, or by its content. Throws UsageError when nothing is named, or a folder cannot be read.
Place resolve_place(const std::string& spec);

}  // namespace unlabel::data
