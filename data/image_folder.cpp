#include <unlabel/augment/error.h>
#include <unlabel/data/files.h>
#include <unlabel/data/image_folder.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace unlabel::data {

namespace {

constexpr std::uint64_t kMaxFileBytes = std::uint64_t{1} << 30;

/// Paths lie one after another in one string, each ended by a zero byte: a million files cost three allocations, not a
/// million.
struct Entry {
  std::uint64_t offset;
  std::uint64_t size;
};

class Walk {
 public:
  Walk(const std::string& root, bool first_only, const std::vector<std::string>& left_out)
      : root_(root), first_only_(first_only), left_out_(left_out) {
    root_fd_ = FileDescriptor(open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (root_fd_.get() < 0) throw_unreadable_folder(root, errno);
    visit("");
  }

  std::string root_;
  FileDescriptor root_fd_;
  std::string paths_;
  std::vector<Entry> entries_;

 private:
  [[noreturn]] void fail(const std::string& prefix, int error) const {
    throw_unreadable_folder(prefix.empty() ? root_ : root_ + "/" + prefix.substr(0, prefix.size() - 1), error);
  }

  /// `prefix` is the folder's path below the root, empty or ended by a slash.
  void visit(const std::string& prefix) {
    std::vector<std::string> folders;
    if (!list(prefix, folders)) return;
    for (const auto& below : folders) {
      visit(below);
      if (first_only_ && !entries_.empty()) return;
    }
    above_.pop_back();
  }

  /// Takes the folder's images and names the folders in it; the folder is closed again, since a tree may be deeper than
  /// a process may have files open. True when there is more to do below: it then stands in above_.
  bool list(const std::string& prefix, std::vector<std::string>& folders) {
    FileDescriptor fd(
        openat(root_fd_.get(), prefix.empty() ? "." : prefix.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd.get() < 0) fail(prefix, errno);
    struct stat status {};
    if (fstat(fd.get(), &status) != 0) fail(prefix, errno);
    const std::pair identity{status.st_dev, status.st_ino};
    if (std::ranges::find(above_, identity) != above_.end()) return false;

    const std::unique_ptr<DIR, int (*)(DIR*)> folder(fdopendir(fd.get()), closedir);
    if (!folder) fail(prefix, errno);
    fd.release();
    while (errno = 0, true) {
      const auto* entry = readdir(folder.get());
      if (!entry) break;
      const std::string_view name = entry->d_name;
      if (name.starts_with('.')) continue;
      const bool is_image = is_image_name(name);
      if (entry->d_type == DT_REG && !is_image) continue;
      const bool found = entry->d_type == DT_DIR || fstatat(dirfd(folder.get()), entry->d_name, &status, 0) == 0;
      if (entry->d_type == DT_DIR || (found && S_ISDIR(status.st_mode))) {
        if (!prefix.empty() || std::ranges::find(left_out_, name) == left_out_.end())
          folders.push_back(prefix + entry->d_name + "/");
      } else if (is_image && (!found || S_ISREG(status.st_mode))) {
        entries_.push_back({paths_.size(), found ? static_cast<std::uint64_t>(status.st_size) : 0});
        paths_.append(prefix).append(name).push_back('\0');
        if (first_only_) return false;
      }
    }
    if (errno != 0) fail(prefix, errno);
    above_.push_back(identity);
    return true;
  }

  bool first_only_;
  const std::vector<std::string>& left_out_;
  std::vector<std::pair<dev_t, ino_t>> above_;
};

class ImageFolder : public Dataset {
 public:
  explicit ImageFolder(Walk walk)
      : root_(std::move(walk.root_)), root_fd_(std::move(walk.root_fd_)), paths_(std::move(walk.paths_)) {
    auto& entries = walk.entries_;
    std::ranges::sort(entries, {}, [&](const Entry& entry) { return std::string_view(paths_.data() + entry.offset); });
    entries_ = std::move(entries);
    find_classes();
  }

  std::int64_t size() const override { return static_cast<std::int64_t>(entries_.size()); }

  void read(std::int64_t index, augment::Source& out) const override { read_start(index, kMaxFileBytes, out); }

  void read_start(std::int64_t index, std::uint64_t bytes, augment::Source& out) const override {
    const auto i = position(index);
    out.pixels.release();
    read_file(root_fd_.get(), path(i), path(i), kMaxFileBytes, out.bytes, bytes);
  }

  std::int64_t label(std::int64_t index) const override {
    const auto i = position(index);
    return labels_.empty() ? -1 : labels_[i];
  }

  const std::vector<std::string>& class_names() const override { return class_names_; }
  std::string name(std::int64_t index) const override { return path(position(index)); }
  void each_file(const std::function<void(std::string_view, std::uint64_t)>& visit) const override {
    for (const auto& entry : entries_) visit(paths_.data() + entry.offset, entry.size);
  }

  std::string description() const override {
    return concat("image folder ", root_, ": ", size(), size() == 1 ? " image, " : " images, ",
                  class_names_.empty() ? "no labels" : concat(class_names_.size(), " classes"));
  }

 private:
  const char* path(std::size_t i) const { return paths_.data() + entries_[i].offset; }

  std::size_t position(std::int64_t index) const {
    if (index < 0 || index >= size())
      throw UsageError("sample ", index, " is not in ", description(), "; count them from 0");
    return static_cast<std::size_t>(index);
  }

  void find_classes() {
    // Sorted by itself: the paths' order is another one, since "a-b/" sorts before "a/".
    std::map<std::string_view, std::int32_t> classes;
    const auto class_of = [&](std::size_t i) {
      const std::string_view whole = path(i);
      return whole.substr(0, whole.find('/'));
    };
    std::string_view last;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      const auto name = class_of(i);
      if (path(i)[name.size()] != '/') return;
      if (name != last) classes.emplace(name, 0);
      last = name;
    }
    if (classes.size() < 2) return;
    for (auto& [name, label] : classes) {
      label = static_cast<std::int32_t>(class_names_.size());
      class_names_.emplace_back(name);
    }
    labels_.reserve(entries_.size());
    for (std::size_t i = 0; i < entries_.size(); ++i) labels_.push_back(classes.at(class_of(i)));
  }

  std::string root_;
  FileDescriptor root_fd_;
  std::string paths_;
  std::vector<Entry> entries_;
  std::vector<std::int32_t> labels_;
  std::vector<std::string> class_names_;
};

}  // namespace

std::shared_ptr<const Dataset> open_image_folder(const std::string& directory,
                                                 const std::vector<std::string>& left_out) {
  Walk walk(directory, false, left_out);
  if (walk.entries_.empty()) {
    throw UsageError(
        "no images in ", directory,
        " or below; looked for .jpg .jpeg .png .webp .bmp .tif .tiff .ppm .pgm .pbm .pnm files, hidden ones left out");
  }
  return std::make_shared<ImageFolder>(std::move(walk));
}

bool contains_image(const std::string& directory, const std::vector<std::string>& left_out) {
  return !Walk(directory, true, left_out).entries_.empty();
}

}  // namespace unlabel::data
