#pragma once

#include <string>

namespace unlabel::data {

/// What a spec of a data set names, see open_dataset.
struct Place {
  std::string kind;  ///< "folder", "cifar10", "idx" or "shards"
  std::string directory;
};

/// By its prefix, or by its content. Throws UsageError when nothing is named, or a folder cannot be read.
Place resolve_place(const std::string& spec);

}  // namespace unlabel::data
