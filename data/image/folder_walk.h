#pragma once

#include <unlabel/data/io/files.h>

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace unlabel::data {

/// Whether a file is an image of a data set, and why not.
enum class Belongs : std::uint8_t {
  kYes,
  kOtherName,     ///< its name does not end like an image's
  kForeignImage,  ///< it does, but like one in a format that is not decoded
  kHidden,        ///< its name, or that of a folder above it, begins with a dot
  kSystem,        ///< in a folder of thumbnails, deleted files and the like
  kLeftOut,       ///< in a folder that is left out, or beside the training folder of a split further down
  kNowhere,       ///< a link to nowhere without an image's name: it may be a folder whose disk is not mounted
  kForbidden,     ///< a folder that may not be read; it may be of any of these kinds
};

/// The images in a folder and the folders below it (by their names: augment/codec/image_files.h), in the order in which the system lists
/// them. Links are followed, but not into a folder that they are inside of; broken links with an image's name are images too, and notes()
/// lists the others. Folders with links to each other, through which more than 16 paths lead for each folder, are refused (UsageError).
///
/// A folder below the root that has one folder named for training and one for testing in it is a split layout: of it only the former is
/// taken (bottle/train and not bottle/test). No file is opened and, where the file system says what is a folder, none is stat'ed.
class FolderWalk {
 public:
  struct Options {
    /// List every regular file, hidden ones too, with the reason why it is not used; also folders that may not be read, and broken links.
    bool all = false;
    bool first_only = false;              ///< end at the first image
    std::vector<std::string> left_out{};  ///< folders directly below the root that are left out
  };
  struct Entry {
    std::uint64_t offset;  ///< of the path in `paths`
    Belongs belongs;       ///< always kYes without `all`
  };

  /// Throws as list_folder does when a folder is missing or cannot be read. With `all` only the root must be permitted, and with
  /// `first_only` a folder below that may not be read is an error only when no image is found.
  FolderWalk(const std::string& folder, Options options);

  const char* path(const Entry& entry) const { return paths.data() + entry.offset; }
  /// Orders the entries by their paths, byte by byte.
  void sort();
  /// What was passed over although it may have been meant, in sentences.
  std::vector<std::string> notes() const;

  std::string root;
  FileDescriptor root_fd;
  /// Paths below the root, one after another, each ended by a zero byte: a million files cost three allocations, not a million.
  std::string paths;
  std::vector<Entry> entries;

  /// Folders below with one for training and one for testing inside, of which only the former is taken.
  const Examples& nested_splits() const { return nested_left_out_; }

 private:
  struct Below {
    std::string prefix;  ///< the folder's path below the root, ended by a slash
    Belongs belongs;
    bool linked;  ///< whether a link leads to it or to a folder above it
  };

  [[noreturn]] void fail(const std::string& prefix, int error) const;
  void visit(const Below& folder);
  bool list(const Below& here, std::vector<Below>& folders);
  bool take(const std::string& prefix, std::string_view name, Belongs belongs);
  void apply_nested_split(const std::string& prefix, std::vector<Below>& folders, std::size_t first_entry,
                          std::size_t first_path);

  Options options_;
  std::optional<std::pair<std::string, int>>
      forbidden_;  ///< the first folder below that may not be read, and the errno
  std::vector<std::pair<dev_t, ino_t>> above_;
  std::set<std::pair<dev_t, ino_t>> linked_;         ///< folders that links lead to
  std::size_t own_folders_ = 0, ways_by_links_ = 0;  ///< folders without links to them, and walks into the others
  Examples foreign_, system_, nested_left_out_, nested_taken_, nowhere_, packed_, others_;
  std::vector<std::string> unnamed_;  ///< some of the files without an image's name
};

/// Files without an image's name that are opened, at most, to see what they are.
inline constexpr std::size_t kMostUnnamed = 64;

/// The format of an image by the first bytes of its file.
struct ContentFormat {
  std::string_view name;  ///< with its article ("a JPEG", "a GIF"); empty: not an image
  bool decoded = false;   ///< whether it is decoded
};
ContentFormat content_format(int folder, const char* path);

}  // namespace unlabel::data
