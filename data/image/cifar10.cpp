#include <unlabel/augment/system_error.h>
#include <unlabel/data/image/cifar10.h>
#include <unlabel/data/io/retry.h>

#include <fcntl.h>

namespace unlabel::data {

namespace {

constexpr std::size_t kSide = 32, kPlane = kSide * kSide, kRecord = 1 + 3 * kPlane, kClasses = 10;
constexpr std::uint64_t kMaxBatchBytes = std::uint64_t{16} << 30;

constexpr std::size_t kBatches = 5;
constexpr std::string_view kBegin = "data_batch_", kEnd = ".bin";

bool is_like_train_name(const std::string& name) { return name.starts_with(kBegin) && name.ends_with(kEnd); }
/// A batch has a number: "data_batch_1 (1).bin" is a copy that a browser has named.
bool is_train_name(const std::string& name) {
  if (!is_like_train_name(name) || name.size() <= kBegin.size() + kEnd.size()) return false;
  return std::all_of(name.begin() + kBegin.size(), name.end() - kEnd.size(),
                     [](char c) { return c >= '0' && c <= '9'; });
}
bool is_test_name(const std::string& name) { return name == "test_batch.bin"; }

bool has_batches(const FolderContents& contents) {
  return std::ranges::any_of(contents.files,
                             [](const auto& name) { return is_train_name(name) || is_test_name(name); });
}

/// The folder with the batches: `directory` itself, or the one that the published archive makes in it.
std::string batches_folder(const std::string& directory, const FolderContents& contents) {
  if (!has_batches(contents) && std::ranges::find(contents.folders, "cifar-10-batches-bin") != contents.folders.end())
    return directory + "/cifar-10-batches-bin";
  return directory;
}

std::string batches_folder(const std::string& directory) { return batches_folder(directory, list_folder(directory)); }

std::vector<std::string> read_class_names(const std::string& path) {
  auto names = read_lines(path, 1 << 16);
  for (auto& name : names)
    while (name.ends_with('\r') || name.ends_with(' ')) name.pop_back();
  std::erase(names, "");
  if (names.size() != kClasses)
    throw UsageError(path, " names ", names.size(), " classes, CIFAR-10 has ", kClasses,
                     "; mend the file or remove it");
  return names;
}

class Cifar10 : public Dataset {
 public:
  Cifar10(const std::string& directory, Split split) {
    const auto folder = batches_folder(directory);
    const auto contents = list_folder(folder);
    std::vector<std::uint8_t> bytes;
    for (const auto& file : contents.files) {
      if (!(split == Split::kTrain ? is_train_name(file) : is_test_name(file))) continue;
      const auto path = folder + "/" + file;
      const auto of_file = [](const char* advice, const auto& read) {
        return as_usage_error("", advice, [&] { return retry(read); });
      };
      const auto size = of_file("", [&] { return open_file(AT_FDCWD, path.c_str(), path).size; });
      if (size % kRecord != 0)
        throw UsageError(path, " has ", size, " bytes, no multiple of CIFAR-10's records of ", kRecord,
                         "; fetch the file again");
      // The file, and the records that grow by it beside what they were.
      require_memory(std::min(size, kMaxBatchBytes) * 2 + records_.size(), path);
      of_file("; fetch the file again", [&] { read_file(AT_FDCWD, path.c_str(), path, kMaxBatchBytes, bytes); });
      if (bytes.size() != size) throw UsageError(path, " changes while it is read; try again");
      for (std::size_t i = 0; i < bytes.size() / kRecord; ++i) {
        if (bytes[i * kRecord] >= kClasses) {
          throw UsageError(path, " gives image ", i, " the label ", int{bytes[i * kRecord]}, ", CIFAR-10 has ",
                           kClasses, " classes; is it another data set's file?");
        }
      }
      records_.reserve(records_.size() + bytes.size());
      records_.insert(records_.end(), bytes.begin(), bytes.end());
      files_.push_back({file, bytes.size(), records_.size() / kRecord});
    }
    if (files_.empty()) {
      throw UsageError(
          "no ",
          split == Split::kTrain ? "data_batch_1.bin ... of CIFAR-10's training" : "test_batch.bin of CIFAR-10's test",
          " images in ", folder, "; unpack cifar-10-binary.tar.gz there");
    }
    if (split == Split::kTrain) note(contents);
    const bool named = std::ranges::find(contents.files, "batches.meta.txt") != contents.files.end();
    class_names_ = named ? read_class_names(folder + "/batches.meta.txt")
                         : std::vector<std::string>{"airplane", "automobile", "bird",  "cat",  "deer",
                                                    "dog",      "frog",       "horse", "ship", "truck"};
    checksum_ = checksum_of(records_);
    description_ = concat("CIFAR-10 ", split == Split::kTrain ? "train " : "test ", folder, ": ", size(), " images, ",
                          kClasses, " classes");
  }

  std::int64_t size() const override { return static_cast<std::int64_t>(records_.size() / kRecord); }

  void read(std::int64_t index, augment::ImageSource& out) const override {
    const auto* red = records_.data() + position(index) * kRecord + 1;
    out.bytes.clear();
    out.pixels.create(int{kSide}, int{kSide}, CV_8UC3);
    auto* pixel = out.pixels.data;
    for (std::size_t i = 0; i < kPlane; ++i, pixel += 3) {
      pixel[0] = red[i];
      pixel[1] = red[kPlane + i];
      pixel[2] = red[2 * kPlane + i];
    }
  }

  std::int64_t label(std::int64_t index) const override { return records_[position(index) * kRecord]; }
  const std::vector<std::string>& class_names() const override { return class_names_; }

  std::string name(std::int64_t index) const override {
    const auto i = position(index);
    const auto file = std::ranges::upper_bound(files_, i, {}, &File::end);
    return concat(file->name, "[", file == files_.begin() ? i : i - std::prev(file)->end, "]");
  }

  void for_each_file(const std::function<void(std::string_view, std::uint64_t)>& visit) const override {
    for (const auto& file : files_) visit(file.name, file.bytes);
  }
  std::optional<std::uint64_t> checksum() const override { return checksum_; }
  std::vector<std::string> notes() const override { return notes_; }
  std::string description() const override { return description_; }

 private:
  void note(const FolderContents& contents) {
    if (files_.size() < kBatches)
      notes_.push_back(concat(files_.size(), files_.size() == 1 ? " batch" : " batches",
                              " of training images instead of CIFAR-10's ", kBatches));
    Examples others;
    for (const auto& file : contents.files)
      if (is_like_train_name(file) && !is_train_name(file)) others.add(file);
    others.note(notes_, others.text("file", "files"), " ", others.verb(),
                " left out: batches are named data_batch_1.bin ...");
  }

  struct File {
    std::string name;
    std::size_t bytes;
    std::size_t end;  ///< samples in this file and those before it
  };

  std::vector<std::uint8_t> records_;
  std::vector<File> files_;
  std::vector<std::string> class_names_;
  std::vector<std::string> notes_;
  std::string description_;
  std::uint64_t checksum_ = 0;
};

}  // namespace

std::shared_ptr<const Dataset> open_cifar10(const std::string& directory, Split split) {
  return std::make_shared<Cifar10>(directory, split);
}

bool names_cifar10(const std::string& directory, const FolderContents& contents) {
  const auto folder = batches_folder(directory, contents);
  return has_batches(folder == directory ? contents : list_folder(folder));
}

bool has_cifar10(const std::string& directory, Split split) {
  return std::ranges::any_of(list_folder(batches_folder(directory)).files,
                             split == Split::kTrain ? is_train_name : is_test_name);
}

}  // namespace unlabel::data
