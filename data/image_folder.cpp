#include <unlabel/augment/error.h>
#include <unlabel/data/files.h>
#include <unlabel/data/folder_walk.h>
#include <unlabel/data/image_folder.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace unlabel::data {

namespace {

class ImageFolder : public Dataset {
 public:
  explicit ImageFolder(FolderWalk walk)
      : root_(std::move(walk.root)), root_fd_(std::move(walk.root_fd)), paths_(std::move(walk.paths)) {
    auto& entries = walk.entries;
    std::ranges::sort(entries, {},
                      [&](const FolderWalk::Entry& entry) { return std::string_view(paths_.data() + entry.offset); });
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
  std::vector<FolderWalk::Entry> entries_;
  std::vector<std::int32_t> labels_;
  std::vector<std::string> class_names_;
};

}  // namespace

std::shared_ptr<const Dataset> open_image_folder(const std::string& directory, const std::vector<std::string>& left_out,
                                                 Listing listing) {
  ListingCache cache(directory, listing);
  FolderWalk walk(directory, {.cache = &cache, .left_out = left_out});
  cache.save();
  if (walk.entries.empty()) {
    throw UsageError(
        "no images in ", directory,
        " or below; looked for .jpg .jpeg .png .webp .bmp .tif .tiff .ppm .pgm .pbm .pnm files, hidden ones left out");
  }
  return std::make_shared<ImageFolder>(std::move(walk));
}

bool contains_image(const std::string& directory, const std::vector<std::string>& left_out) {
  return !FolderWalk(directory, {.first_only = true, .left_out = left_out}).entries.empty();
}

}  // namespace unlabel::data
