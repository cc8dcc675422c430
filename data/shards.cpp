#include <unlabel/augment/encode.h>
#include <unlabel/augment/error.h>
#include <unlabel/augment/image_header.h>
#include <unlabel/augment/json_line.h>
#include <unlabel/data/atomic_file.h>
#include <unlabel/data/files.h>
#include <unlabel/data/parallel_for.h>
#include <unlabel/data/place.h>
#include <unlabel/data/sampler.h>
#include <unlabel/data/shards.h>
#include <unlabel/data/tar.h>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <optional>
#include <sstream>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

namespace unlabel::data {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kLongestClass = 32;
constexpr int kMaxClasses = 1'000'000, kMaxThreads = 8;

/// Reads within a file; false when it does not hold so much.
bool read_at(int descriptor, std::uint64_t offset, char* out, std::size_t size) {
  while (size > 0) {
    const auto count = ::pread(descriptor, out, size, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    out += count;
    offset += static_cast<std::uint64_t>(count);
    size -= static_cast<std::size_t>(count);
  }
  return true;
}

/// A name's part before and after the first dot of its last component.
std::pair<std::string_view, std::string_view> key_and_extension(std::string_view name) {
  const auto slash = name.rfind('/');
  const auto dot = name.find('.', slash == std::string_view::npos ? 0 : slash + 1);
  if (dot == std::string_view::npos) return {name, {}};
  return {name.substr(0, dot), name.substr(dot)};
}

/// Whether one of the words of a name such as imagenet-val-000003.tar is that of a test split.
bool is_test_name(std::string_view name) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  for (std::size_t begin = 0, end; begin < name.size(); begin = end) {
    end = begin + 1;
    if (!is_letter(name[begin])) continue;
    while (end < name.size() && is_letter(name[end])) ++end;
    if (std::ranges::find(kTestNames, name.substr(begin, end - begin)) != kTestNames.end()) return true;
  }
  return false;
}

struct Archives {
  std::string folder;
  std::vector<std::string> names;  ///< byte-sorted
};

std::vector<std::string> tars_in(const std::string& folder) {
  auto files = list_folder(folder).files;
  std::erase_if(files, [](const auto& name) { return !name.ends_with(".tar"); });
  return files;
}

Archives find_archives(const std::string& directory, Split split) {
  const auto folders = list_folder(directory).folders;
  const auto below = [&](std::string_view name) -> std::optional<Archives> {
    if (std::ranges::find(folders, name) == folders.end()) return std::nullopt;
    Archives found{concat(directory, "/", name), {}};
    found.names = tars_in(found.folder);
    return found.names.empty() ? std::nullopt : std::optional(std::move(found));
  };
  if (split == Split::kTrain) {
    if (auto found = below("train")) return *found;
  } else {
    for (const auto name : kTestNames)
      if (auto found = below(name)) return *found;
  }
  Archives here{directory, tars_in(directory)};
  std::erase_if(here.names, [&](const auto& name) { return is_test_name(name) != (split == Split::kTest); });
  return here;
}

struct Sample {
  std::uint64_t offset;
  std::uint64_t size;
  std::uint32_t archive;
  std::int32_t label;  ///< -1: none
};

/// The samples of one archive.
std::vector<Sample> scan(const std::string& folder, const std::string& name, std::uint32_t number,
                         std::uint64_t& size) {
  const std::string path = folder + "/" + name;
  const auto file = open_file(AT_FDCWD, path.c_str(), path);
  size = file.size;
  const TarRead read = [&](std::uint64_t offset, char* out, std::size_t count) {
    if (!read_at(file.fd.get(), offset, out, count)) throw Error("cannot read ", path, ": it became shorter");
  };
  std::vector<Sample> samples;
  std::string key;
  Sample sample{0, 0, number, -1};
  const auto finish = [&] {
    if (sample.size > 0) samples.push_back(sample);
    sample = {0, 0, number, -1};
  };
  each_tar_member(path, file.size, read, [&](const TarMember& member) {
    const auto [member_key, extension] = key_and_extension(member.name);
    if (member_key != key) {
      finish();
      key = member_key;
    }
    if (sample.size == 0 && is_image_name(extension) && extension.rfind('.') == 0) {
      sample.offset = member.offset;
      sample.size = member.size;
    } else if (extension == ".cls") {
      if (member.size > kLongestClass) throw Error(path, ": ", member.name, " is no class: ", member.size, " bytes");
      std::string text(member.size, '\0');
      read(member.offset, text.data(), text.size());
      while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), sample.label);
      if (error != std::errc() || end != text.data() + text.size() || sample.label < 0 || sample.label >= kMaxClasses)
        throw Error(path, ": ", member.name, " holds '", text, "', which is no class (0, 1, 2 ...)");
    }
  });
  finish();
  return samples;
}

std::vector<std::string> read_class_names(const std::string& folder, const std::string& directory) {
  std::error_code error;
  for (const auto& place : {folder, directory}) {
    const std::string path = place + "/classes.txt";
    if (!fs::is_regular_file(path, error)) continue;
    std::istringstream text(read_text_file(path));
    std::vector<std::string> names;
    for (std::string line; std::getline(text, line);) names.push_back(line);
    return names;
  }
  return {};
}

class Shards : public Dataset {
 public:
  /// With `damaged`, damaged archives are told there and hold no samples; then there may be none at all.
  Shards(const std::string& directory, Split split, std::vector<DamagedShard>* damaged = nullptr)
      : archives_(find_archives(directory, split)) {
    const auto& names = archives_.names;
    if (names.empty()) {
      throw UsageError("no ", split == Split::kTrain ? "" : "test ", "archives in ", directory, "; looked for ",
                       split == Split::kTrain ? "train/*.tar and *.tar" : "test/*.tar, val/*.tar and *-val-*.tar",
                       "; unlabel pack makes some");
    }
    folder_fd_ = FileDescriptor(::open(archives_.folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder_fd_.get() < 0) throw_unreadable_folder(archives_.folder, errno);
    sizes_.resize(names.size());
    std::vector<std::vector<Sample>> found(names.size());
    std::vector<std::string> reasons(names.size());
    const auto threads = std::min<std::size_t>({names.size(), std::thread::hardware_concurrency(), kMaxThreads});
    parallel_for(names.size(), threads, [&] {
      return [&](std::size_t i) {
        try {
          found[i] = scan(archives_.folder, names[i], static_cast<std::uint32_t>(i), sizes_[i]);
        } catch (const UsageError&) {
          throw;
        } catch (const Error& error) {
          if (!damaged) throw UsageError(error.what());
          reasons[i] = error.what();
        }
      };
    });
    for (std::size_t i = 0; i < names.size(); ++i)
      if (!reasons[i].empty()) damaged->push_back({names[i], reasons[i]});
    std::size_t total = 0;
    for (const auto& part : found) total += part.size();
    samples_.reserve(total);
    for (const auto& part : found) samples_.insert(samples_.end(), part.begin(), part.end());
    if (samples_.empty() && damaged) return;
    if (samples_.empty()) throw UsageError("no images in the archives of ", archives_.folder);
    name_classes(directory);
  }

  std::int64_t size() const override { return static_cast<std::int64_t>(samples_.size()); }

  void read(std::int64_t index, augment::Source& out) const override { read_start(index, kMaxFileBytes, out); }

  void read_start(std::int64_t index, std::uint64_t bytes, augment::Source& out) const override {
    const auto& sample = at(index);
    const auto& archive = archives_.names[sample.archive];
    out.pixels.release();
    out.bytes.clear();
    if (sample.size > kMaxFileBytes)
      throw Error("cannot read ", name(index), ": ", sample.size, " bytes, more than the ", kMaxFileBytes, " allowed");
    const auto file = open_file(folder_fd_.get(), archive.c_str(), archive);
    out.bytes.resize(std::min(sample.size, bytes));
    if (!read_at(file.fd.get(), sample.offset, reinterpret_cast<char*>(out.bytes.data()), out.bytes.size()))
      throw Error("cannot read ", name(index), ": the archive has changed");
  }

  std::int64_t label(std::int64_t index) const override { return class_names_.empty() ? -1 : at(index).label; }
  const std::vector<std::string>& class_names() const override { return class_names_; }

  std::string name(std::int64_t index) const override {
    const auto& sample = at(index);
    const auto& archive = archives_.names[sample.archive];
    std::array<char, kTarBlock> header{};
    try {
      const auto file = open_file(folder_fd_.get(), archive.c_str(), archive);
      if (read_at(file.fd.get(), sample.offset - kTarBlock, header.data(), header.size()))
        return concat(archive, ":", tar_name(header));
    } catch (const Error&) {  // it is gone: then its place has to do
    }
    return concat(archive, ":byte ", sample.offset);
  }

  void each_file(const std::function<void(std::string_view, std::uint64_t)>& visit) const override {
    for (std::size_t i = 0; i < sizes_.size(); ++i) visit(archives_.names[i], sizes_[i]);
  }

  std::string description() const override {
    return concat(archives_.names.size(), archives_.names.size() == 1 ? " shard in " : " shards in ", archives_.folder,
                  ": ", size(), size() == 1 ? " image, " : " images, ",
                  class_names_.empty() ? "no labels" : concat(class_names_.size(), " classes"));
  }

 private:
  const Sample& at(std::int64_t index) const {
    if (index < 0 || index >= size())
      throw UsageError("sample ", index, " is not in ", description(), "; count them from 0");
    return samples_[static_cast<std::size_t>(index)];
  }

  void name_classes(const std::string& directory) {
    const auto [least, most] = std::ranges::minmax(samples_, {}, &Sample::label);
    if (least.label < 0) return;
    class_names_ = read_class_names(archives_.folder, directory);
    if (!class_names_.empty() && most.label >= static_cast<std::int32_t>(class_names_.size()))
      throw UsageError("classes.txt of ", archives_.folder, " names ", class_names_.size(),
                       " classes, and a sample is of ", most.label, "; they count from 0");
    if (class_names_.empty())
      for (int i = 0; i <= most.label; ++i) class_names_.push_back(std::to_string(i));
  }

  Archives archives_;
  FileDescriptor folder_fd_;
  std::vector<std::uint64_t> sizes_;
  std::vector<Sample> samples_;
  std::vector<std::string> class_names_;
};

/// An image as a file, and its extension.
std::string extension_of(const std::vector<std::uint8_t>& bytes, const std::string& name) {
  switch (augment::image_format(bytes)) {
    case augment::ImageFormat::kJpeg:
      return ".jpg";
    case augment::ImageFormat::kPng:
      return ".png";
    case augment::ImageFormat::kWebp:
      return ".webp";
    case augment::ImageFormat::kBmp:
      return ".bmp";
    case augment::ImageFormat::kTiff:
      return ".tif";
    case augment::ImageFormat::kPnm:
      return ".ppm";
    case augment::ImageFormat::kUnknown:
      break;
  }
  throw Error("cannot pack ", name, ": it is no image; unlabel check lists all such");
}

std::string numbered(const std::string& prefix, std::int64_t number, int digits, const char* end) {
  char text[32];
  std::snprintf(text, sizeof text, "%0*lld", digits, static_cast<long long>(number));
  return prefix + text + end;
}

class ShardWriter {
 public:
  ShardWriter(std::string stem, std::uint64_t most) : stem_(std::move(stem)), most_(most) {}

  /// Appends the files of a sample to the open archive, or to a new one.
  void add(const std::vector<std::pair<std::string, std::string_view>>& files) {
    std::string bytes;
    for (const auto& [name, contents] : files)
      bytes.append(tar_header(name, contents.size())).append(contents).append(tar_padding(contents.size()));
    if (file_ && size_ + bytes.size() + tar_end().size() > most_) finish();
    if (!file_) {
      paths_.push_back(numbered(stem_, static_cast<std::int64_t>(paths_.size()), 6, ".tar"));
      file_.emplace(paths_.back());
      size_ = 0;
    }
    file_->write(bytes);
    size_ += bytes.size();
  }

  void finish() {
    if (!file_) return;
    file_->write(tar_end());
    file_->commit();
    file_.reset();
  }

  const std::vector<std::string>& paths() const { return paths_; }

 private:
  std::string stem_;
  std::uint64_t most_, size_ = 0;
  std::optional<AtomicFile> file_;
  std::vector<std::string> paths_;
};

}  // namespace

std::shared_ptr<const Dataset> open_shards(const std::string& directory, Split split) {
  return std::make_shared<Shards>(directory, split);
}

std::shared_ptr<const Dataset> open_whole_shards(const std::string& directory, Split split,
                                                 std::vector<DamagedShard>& damaged) {
  auto shards = std::make_shared<Shards>(directory, split, &damaged);
  return shards->size() > 0 ? shards : nullptr;
}

bool has_shards(const std::string& directory, Split split) { return !find_archives(directory, split).names.empty(); }

std::vector<std::string> write_shards(const Dataset& dataset, const std::string& directory, const std::string& prefix,
                                      const PackOptions& options) {
  if (options.shard_bytes < 1) throw UsageError("archives of 0 bytes; give at least 1 (each holds a sample at least)");
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) throw Error("cannot make the folder ", directory, ": ", error.message());
  const Permutation order(static_cast<std::uint64_t>(dataset.size()), options.seed, 0);
  ShardWriter writer(concat(directory, "/", prefix, "-"), options.shard_bytes);
  augment::Source source;
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    const auto index = options.shuffle ? static_cast<std::int64_t>(order(static_cast<std::uint64_t>(i))) : i;
    dataset.read(index, source);
    if (!source.pixels.empty()) source.bytes = augment::encode_png(source.pixels);
    const std::string key = numbered("", i, 8, "");
    const std::string json = json_line(nlohmann::json{{"name", dataset.name(index)}});
    const std::string_view image(reinterpret_cast<const char*>(source.bytes.data()), source.bytes.size());
    std::vector<std::pair<std::string, std::string_view>> files{
        {key + extension_of(source.bytes, dataset.name(index)), image}, {key + ".json", json}};
    const std::string label = std::to_string(dataset.label(index));
    if (dataset.label(index) >= 0) files.emplace_back(key + ".cls", label);
    writer.add(files);
  }
  writer.finish();
  if (!dataset.class_names().empty()) {
    std::string text;
    for (const auto& name : dataset.class_names()) text += name + "\n";
    write_file(directory + "/classes.txt", text);
  }
  return writer.paths();
}

}  // namespace unlabel::data
