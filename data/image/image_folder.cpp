#include <unlabel/augment/codec/image_files.h>
#include <unlabel/data/image/contents.h>
#include <unlabel/data/image/dataset_index.h>
#include <unlabel/data/image/folder_walk.h>
#include <unlabel/data/image/image_folder.h>
#include <unlabel/data/io/files.h>
#include <unlabel/data/io/parallel_for.h>

#include <map>

namespace unlabel::data {

namespace {

constexpr std::size_t kStatThreads = 8;  ///< a network's file system answers several at once
constexpr std::size_t kFilesAThread = 1024;

/// One of the folders with a word for training in its name and one beside with a word for testing (train_subset and val_subset, trainA
/// and testA), or with the same name but for it (minitrain and minival).
std::optional<std::pair<std::string, std::string>> split_like(const std::vector<std::string>& folders,
                                                              const std::vector<std::string>& left_out) {
  constexpr std::array<std::string_view, 4> kTrain{"train", "training", "trainval", "trn"};
  constexpr std::array<std::string_view, 4> kTest{"test", "val", "valid", "dev"};
  auto beside = folders;
  beside.insert(beside.end(), left_out.begin(), left_out.end());
  const auto has_word = [](const std::string& name, std::string_view word) {
    return std::ranges::count(augment::words_of(name), word) > 0;
  };
  const auto is_test = [&](const auto& name) { return augment::has_test_word(name) || has_word(name, "tst"); };
  const auto is_train = [&](const auto& name) {
    return std::ranges::any_of(kTrain, [&](auto word) { return has_word(name, word); });
  };
  // A name's words but for the split's: those of two splits agree, or one has no more (train_full and val), while bullet_train and
  // test_tube are two things.
  const auto rest = [](const std::string& name, const auto& is_split) {
    auto words = augment::words_of(name);
    std::erase_if(words, is_split);
    return words;
  };
  for (const auto& name : folders) {
    if (is_train(name)) {
      const auto words = rest(name, is_train);
      const auto test = std::ranges::find_if(beside, [&](const std::string& other) {
        const auto others = rest(other, is_test);
        return is_test(other) && (words == others || words.empty() || others.empty());
      });
      if (test != beside.end()) return std::pair(name, *test);
    }
    const auto at = name.find(kTrain[0]);
    if (at == std::string::npos) continue;
    for (const auto word : kTest) {
      const auto twin = std::string(name).replace(at, kTrain[0].size(), word);
      if (std::ranges::find(beside, twin) != beside.end()) return std::pair(name, twin);
    }
  }
  return std::nullopt;
}

std::string joined_path(const std::string& directory, const std::string& below) {
  return below.empty() ? directory : directory + "/" + below;
}

class ImageFolder : public Dataset {
 public:
  ImageFolder(const std::string& directory, std::string below, const std::vector<std::string>& left_out,
              std::vector<std::string> notes, Split split)
      : below_(std::move(below)), root_(joined_path(directory, below_)), notes_(std::move(notes)) {
    FolderWalk walk(root_, {.left_out = left_out});
    if (walk.entries.empty()) throw NoImages("no images in ", root_, " or below: ", describe_contents(root_));
    if (const auto& nested = walk.nested_splits(); split == Split::kTest && nested.count > 0)
      throw NoImages(root_, " holds images for training and for testing further down, in ",
                     nested.text("folder", "folders"), ": give --test the test folder inside one of them");
    walk.sort();
    for (auto& note : walk.notes()) notes_.push_back(std::move(note));
    root_fd_ = std::move(walk.root_fd);
    paths_ = std::move(walk.paths);
    offsets_.reserve(walk.entries.size());
    for (const auto& entry : walk.entries) offsets_.push_back(entry.offset);
    const auto folders = find_classes();
    if (split == Split::kTrain && folders.size() > 1) note_splits(folders, left_out);
  }

  /// From another's index.
  ImageFolder(const std::string& directory, const nlohmann::json& index)
      : below_(index.at("below").get<std::string>()), root_(joined_path(directory, below_)) {
    root_fd_ = open_folder(root_);
    const auto& bytes = index.at("paths").get_binary();
    paths_.assign(bytes.begin(), bytes.end());
    sizes_ = from_binary<std::uint64_t>(index.at("sizes"));
    if (paths_.empty() || paths_.back() != '\0') throw Error("a list of files is damaged");
    for (std::size_t begin = 0; begin < paths_.size(); begin = paths_.find('\0', begin) + 1) offsets_.push_back(begin);
    if (offsets_.size() != sizes_.size()) throw Error("a list of files is damaged");
    std::call_once(sized_, [] {});
    find_classes();
    for (const auto i : sampled_places(offsets_.size())) require_same_size(root_fd_.get(), path(i), root_, sizes_[i]);
  }

  std::int64_t size() const override { return static_cast<std::int64_t>(offsets_.size()); }

  void read(std::int64_t index, augment::ImageSource& out) const override { read_start(index, kMaxFileBytes, out); }

  void read_start(std::int64_t index, std::uint64_t bytes, augment::ImageSource& out) const override {
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

  void for_each_file(const std::function<void(std::string_view, std::uint64_t)>& visit) const override {
    look_up_sizes();
    for (std::size_t i = 0; i < offsets_.size(); ++i) visit(path(i), sizes_[i]);
  }

  std::vector<std::string> notes() const override { return notes_; }

  std::string file_index() const override {
    look_up_sizes();
    std::vector<char> paths;  // in their order
    paths.reserve(paths_.size());
    for (std::size_t i = 0; i < offsets_.size(); ++i) {
      const std::string_view name = path(i);
      paths.insert(paths.end(), name.begin(), name.end());
      paths.push_back('\0');
    }
    return pack_index({{"below", below_}, {"paths", binary_of(paths)}, {"sizes", binary_of(sizes_)}});
  }

  std::string description() const override {
    return concat("image folder ", root_, ": ", size(), size() == 1 ? " image, " : " images, ",
                  class_names_.empty() ? "no labels" + why_unlabeled_ : concat(class_names_.size(), " classes"));
  }

 private:
  const char* path(std::size_t i) const { return paths_.data() + offsets_[i]; }

  void look_up_sizes() const {
    std::call_once(sized_, [&] {
      sizes_.resize(offsets_.size());
      parallel_for((sizes_.size() + kFilesAThread - 1) / kFilesAThread, kStatThreads, [&] {
        return [&](std::size_t part) {
          const auto end = std::min(sizes_.size(), (part + 1) * kFilesAThread);
          for (auto i = part * kFilesAThread; i < end; ++i) sizes_[i] = size_of(root_fd_.get(), path(i)).value_or(0);
        };
      });
    });
  }

  void note_splits(const std::vector<std::string>& folders, const std::vector<std::string>& left_out) {
    const auto split = split_like(folders, left_out);
    if (!split) return;
    notes_.push_back(concat(split->first, "/ and ", split->second, "/ of ", root_, " are named like splits, and all ",
                            folders.size(), " folders", left_out.empty() ? "" : " that are not left out",
                            " are trained on", class_names_.empty() ? "" : " as classes",
                            "; to train on one alone, name it: --data ", root_, "/", split->first));
  }

  /// Gives the first-level folders.
  std::vector<std::string> find_classes() {
    // Sorted by itself: the paths' order is another one, since "a-b/" sorts before "a/".
    std::map<std::string_view, std::int32_t> classes;
    const auto class_of = [&](std::size_t i) {
      const std::string_view whole = path(i);
      return whole.substr(0, whole.find('/'));
    };
    std::string_view last, at_the_top;
    for (std::size_t i = 0; i < offsets_.size(); ++i) {
      const auto name = class_of(i);
      if (path(i)[name.size()] != '/') {
        if (at_the_top.empty()) at_the_top = name;
        continue;
      }
      if (name != last) classes.emplace(name, 0);
      last = name;
    }
    if (!at_the_top.empty() || classes.size() < 2) {
      if (classes.empty()) return {};
      why_unlabeled_ = at_the_top.empty() ? concat(": all are in ", classes.begin()->first, "/")
                                          : concat(": ", at_the_top, " lies beside the folders");
      std::vector<std::string> folders;
      folders.reserve(classes.size());
      for (const auto& [name, label] : classes) folders.emplace_back(name);
      return folders;
    }
    for (auto& [name, label] : classes) {
      label = static_cast<std::int32_t>(class_names_.size());
      class_names_.emplace_back(name);
    }
    labels_.reserve(offsets_.size());
    for (std::size_t i = 0; i < offsets_.size(); ++i) labels_.push_back(classes.at(class_of(i)));
    return class_names_;
  }

  std::string below_, root_;
  FileDescriptor root_fd_;
  std::string paths_;  ///< each ended by a zero byte
  std::vector<std::uint64_t> offsets_;
  mutable std::once_flag sized_;
  mutable std::vector<std::uint64_t> sizes_;
  std::vector<std::int32_t> labels_;
  std::vector<std::string> class_names_;
  std::string why_unlabeled_;  ///< where there are folders: ": 1.jpg lies beside the folders"
  std::vector<std::string> notes_;
};

}  // namespace

std::shared_ptr<const Dataset> open_image_folder(const std::string& directory, const std::string& below,
                                                 const std::vector<std::string>& left_out,
                                                 std::vector<std::string> notes, Split split) {
  return std::make_shared<ImageFolder>(directory, below, left_out, std::move(notes), split);
}

std::shared_ptr<const Dataset> open_indexed_folder(const std::string& directory, const std::string& index) {
  return std::make_shared<ImageFolder>(directory, unpack_index(index));
}

bool contains_image(const std::string& directory) {
  return !FolderWalk(directory, {.first_only = true}).entries.empty();
}

}  // namespace unlabel::data
