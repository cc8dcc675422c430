#pragma once

#include <unlabel/data/listing.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace unlabel::data {

/// What one folder held when it was listed.
struct ListedFolder {
  std::uint64_t inode = 0;
  std::int64_t changed = 0;          ///< nanoseconds since 1970: when an entry was last added or removed
  std::vector<std::string> folders;  ///< names
  std::vector<std::pair<std::string, std::uint64_t>> files;  ///< names and sizes of all regular files
};

/// The listing of a large tree, kept from one start to the next: then each folder is looked at once instead of each file. A folder in which
/// an entry was added or removed is listed anew; a file that was rewritten under its name is not noticed here.
class ListingCache {
 public:
  /// Smaller trees are listed faster than a cache is read.
  static constexpr std::size_t kLeastFiles = 20'000;

  /// The listing of `root` that an earlier start left, or an empty one; what cannot be read, or is malformed, counts as absent.
  explicit ListingCache(const std::string& root, Listing listing = Listing::kKept);

  /// What stood in a folder, if its number and time are still the same. `path` is below the root, empty or ended by a slash.
  const ListedFolder* find(const std::string& path, std::uint64_t inode, std::int64_t changed) const;

  /// Takes down a folder for save. One that changed within the last two seconds is not: it may change again within the clock's step.
  void add(const std::string& path, ListedFolder folder);

  /// Writes what was added, when it is worth it and differs from what was read. Never throws: it is only a cache.
  void save() const;

 private:
  std::string file_;  ///< empty: nowhere to keep it
  std::string root_;
  std::map<std::string, ListedFolder> before_, now_;
  bool differs_ = false;
};

/// Where listings are kept: $UNLABEL_CACHE, else $XDG_CACHE_HOME/unlabel, else ~/.cache/unlabel; nullopt when there is
/// no home, or UNLABEL_CACHE is empty.
std::optional<std::string> cache_folder();

}  // namespace unlabel::data
