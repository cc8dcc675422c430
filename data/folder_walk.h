#pragma once

#include <unlabel/data/files.h>
#include <unlabel/data/listing_cache.h>

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace unlabel::data {

/// The files in a folder and the folders below it, with their sizes, in the order in which the system names them. Links are followed, but
/// not into a folder that they are inside of.
class FolderWalk {
 public:
  struct Options {
    bool images_only = true;              ///< files named as images; links to nowhere are among them, with size 0
    bool hidden_too = false;              ///< files and folders whose names begin with a dot
    bool first_only = false;              ///< end at the first file
    ListingCache* cache = nullptr;        ///< of a walk for all images
    std::vector<std::string> left_out{};  ///< folders directly below the root that are passed over
  };
  struct Entry {
    std::uint64_t offset;  ///< of the path in `paths`
    std::uint64_t size;    ///< of the file
  };

  /// Throws UsageError that names the folder when one is missing or cannot be read.
  FolderWalk(const std::string& folder, Options options);

  std::string root;
  FileDescriptor root_fd;
  /// Paths below the root, one after another, each ended by a zero byte: a million files cost three allocations, not a million.
  std::string paths;
  std::vector<Entry> entries;

 private:
  [[noreturn]] void fail(const std::string& prefix, int error) const;
  void visit(const std::string& prefix);
  bool list(const std::string& prefix, std::vector<std::string>& folders);
  const ListedFolder* cached(int folder, const std::string& prefix, std::uint64_t inode, std::int64_t changed) const;
  void take(const std::string& prefix, std::string_view name, std::uint64_t size);

  Options options_;
  std::vector<std::pair<dev_t, ino_t>> above_;
};

}  // namespace unlabel::data
