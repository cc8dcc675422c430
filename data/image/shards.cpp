#include <unlabel/augment/codec/encode.h>
#include <unlabel/augment/codec/image_files.h>
#include <unlabel/augment/codec/image_header.h>
#include <unlabel/augment/json_line.h>
#include <unlabel/augment/processors.h>
#include <unlabel/augment/system_error.h>
#include <unlabel/data/image/contents.h>
#include <unlabel/data/image/dataset_index.h>
#include <unlabel/data/image/shards.h>
#include <unlabel/data/image/tar.h>
#include <unlabel/data/io/atomic_file.h>
#include <unlabel/data/io/files.h>
#include <unlabel/data/io/parallel_for.h>
#include <unlabel/data/io/retry.h>
#include <unlabel/data/sampler.h>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <iterator>
#include <map>
#include <unordered_map>

namespace unlabel::data {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kLongestClass = 32, kMaxNamesBytes = std::uint64_t{64} << 20;
constexpr int kMaxClasses = 1'000'000;
constexpr std::size_t kMaxThreads = 8;
constexpr const char* kLook = "; unlabel check lists them";

/// Reads within a file. Throws Error: that it has become shorter, or why it cannot be read.
void read_at(int descriptor, const std::string& name, std::uint64_t offset, char* out, std::size_t size) {
  while (size > 0) {
    const auto count = ::pread(descriptor, out, size, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int error = errno;  // concat may change it
      throw_system_error(concat("cannot read ", name), error);
    }
    if (count == 0) throw Error("cannot read ", name, ": the archive has changed, and become shorter");
    out += count;
    offset += static_cast<std::uint64_t>(count);
    size -= static_cast<std::size_t>(count);
  }
}

/// A name's part before and after the first dot of its last component.
std::pair<std::string_view, std::string_view> key_and_extension(std::string_view name) {
  const auto slash = name.rfind('/');
  const auto dot = name.find('.', slash == std::string_view::npos ? 0 : slash + 1);
  if (dot == std::string_view::npos) return {name, {}};
  return {name.substr(0, dot), name.substr(dot)};
}

struct Archives {
  std::string below;               ///< the folder that they are in, below the one that was named; empty: itself
  std::vector<std::string> names;  ///< byte-sorted
  Examples left_out;               ///< those beside them that are not of the split
  Examples compressed, nowhere;    ///< compressed archives beside them, and links to nowhere
};

/// Whether a file of that name would be skipped in a folder: hidden, or in a folder of thumbnails and the like.
bool is_hidden(std::string_view name) {
  while (true) {
    const auto slash = name.find('/');
    const auto part = name.substr(0, slash);
    if (part.starts_with('.') && part != "." && part != "..") return true;
    if (slash == std::string_view::npos) return false;
    if (augment::is_system_folder(part)) return true;
    name.remove_prefix(slash + 1);
  }
}

Archives archives_in(const std::string& below, const FolderContents& contents) {
  Archives archives{.below = below, .names = {}, .left_out = {}, .compressed = {}, .nowhere = {}};
  for (const auto& name : contents.files) {
    const auto packed = augment::packed_as(name);
    if (packed == augment::Packed::kTar) archives.names.push_back(name);
    if (packed == augment::Packed::kCompressed) archives.compressed.add(name);
  }
  for (const auto& name : contents.nowhere) archives.nowhere.add(name);
  return archives;
}

Archives find_archives(const std::string& directory, Split split) {
  auto contents = list_folder(directory);
  auto here = archives_in("", contents);
  auto folders = std::move(contents.folders);
  const auto wanted = split == Split::kTrain ? augment::NamedSplit::kTrain : augment::NamedSplit::kTest;
  std::erase_if(folders, [&](const auto& name) { return augment::named_split(name) != wanted; });
  std::ranges::stable_sort(folders, {}, augment::test_name_rank);
  Archives found;
  for (const auto& name : folders) {
    auto archives = archives_in(name, list_folder(directory + "/" + name));
    if (archives.names.empty()) continue;
    if (!found.names.empty())
      throw UsageError(directory, " has several folders of training archives, ", found.below, "/ and ", name,
                       "/; name the one that is meant: shards:", directory, "/", found.below);
    found = std::move(archives);
    if (split == Split::kTest) return found;
  }
  if (!found.names.empty()) {
    for (const auto& name : here.names) found.left_out.add(name);
    return found;
  }
  const auto others = std::partition(here.names.begin(), here.names.end(), [&](const std::string& name) {
    return augment::has_test_word(name) == (split == Split::kTest);
  });
  for (auto name = others; name != here.names.end(); ++name) here.left_out.add(*name);
  here.names.erase(others, here.names.end());
  std::ranges::sort(here.names);
  return here;
}

struct Sample {
  std::uint64_t offset;
  std::uint64_t size;
  std::uint64_t header;  ///< of its headers (TarMember)
  std::uint32_t archive;
  std::int32_t label;  ///< -1: none
};

/// Members that the notes mention.
struct MemberNotes {
  Examples dotted{};        ///< members with several dots that are samples
  Examples passed_over{};   ///< members that end like an image and are none
  Examples hidden{};        ///< images that are passed over in folders too
  Examples lone_classes{};  ///< members with a class, without an image

  void add(const MemberNotes& other) {
    dotted.add(other.dotted);
    passed_over.add(other.passed_over);
    hidden.add(other.hidden);
    lone_classes.add(other.lone_classes);
  }
};

/// The samples of an archive.
struct ScannedArchive {
  std::vector<Sample> samples;
  std::uint64_t size = 0;      ///< of the archive
  std::uint64_t checksum = 0;  ///< of all members' names, sizes and classes
  MemberNotes noted;
  std::vector<std::string> links;  ///< that are not followed
};

/// Groups consecutive members with one key into a sample.
class SampleGrouper {
 public:
  SampleGrouper(const std::string& archive, std::uint32_t number, ScannedArchive& out)
      : archive_(archive), number_(number), out_(out) {}

  void take(const TarMember& member, std::string_view key, std::string_view extension,
            const std::optional<std::int32_t>& label) {
    if (key != key_) finish();
    key_ = key;
    const bool plain = extension.rfind('.') == 0;
    const auto stem = member.name.substr(0, member.name.rfind('.'));
    if (label) {
      if (class_member_.empty()) class_member_ = member.name;
      if (plain) label_ = *label;
      if (!plain) labels_[stem] = *label;
    } else if (augment::is_image_name(extension)) {
      images_.push_back({stem, member.name, {member.offset, member.size, member.header, number_, -1}, plain});
    } else if (augment::is_foreign_image_name(extension)) {
      out_.noted.passed_over.add(shown(member.name));
    }
  }

  /// Ends the current sample.
  void finish() {
    if (images_.empty() && !class_member_.empty()) out_.noted.lone_classes.add(shown(class_member_));
    const auto plain = std::ranges::find_if(images_, &Image::plain);
    for (auto& image : images_) {
      if (plain != images_.end() && &image != &*plain) {
        out_.noted.passed_over.add(shown(image.name));
        continue;
      }
      image.sample.label = label_;
      if (!image.plain) {
        out_.noted.dotted.add(shown(image.name));
        if (const auto own = labels_.find(image.stem); own != labels_.end()) image.sample.label = own->second;
      }
      out_.samples.push_back(image.sample);
    }
    images_.clear();
    labels_.clear();
    label_ = -1;
    class_member_.clear();
  }

 private:
  struct Image {
    std::string stem;  ///< up to the last dot
    std::string name;
    Sample sample;
    bool plain;  ///< with one dot
  };

  std::string shown(const std::string& member) const { return concat(archive_, ":", member); }

  const std::string& archive_;
  std::uint32_t number_;
  ScannedArchive& out_;
  std::string key_;
  std::vector<Image> images_;
  std::int32_t label_ = -1;
  std::string class_member_;                    ///< the first one that holds a class
  std::map<std::string, std::int32_t> labels_;  ///< of members with several dots, by their names up to the last one
};

/// The class that a member holds as a decimal number; nullopt when it is none.
std::optional<std::int32_t> class_in(const TarMember& member, const TarRead& read) {
  if (member.size > kLongestClass) return std::nullopt;
  std::string text(member.size, '\0');
  read(member.offset, text.data(), text.size());
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  std::int32_t label = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), label);
  if (error != std::errc() || end != text.data() + text.size() || label < 0 || label >= kMaxClasses)
    return std::nullopt;
  return label;
}

/// Whether a link to nowhere of that name may be a part of a sample, or a folder of them.
bool may_matter(std::string_view name) {
  const auto extension = key_and_extension(name).second;
  return extension.empty() || extension.ends_with(".cls") || augment::is_image_name(extension);
}

/// With `links`, hard links are taken as the members that they lead to, whose names must be remembered for that; without it the archive is
/// scanned once more where there are any.
ScannedArchive scan(const std::string& folder, const std::string& name, std::uint32_t number, bool links = false) {
  const std::string path = folder + "/" + name;
  const auto file = open_file(AT_FDCWD, path.c_str(), path);
  ScannedArchive scanned;
  scanned.size = file.size;
  const TarRead read = [&](std::uint64_t offset, char* out, std::size_t count) {
    read_at(file.fd.get(), path, offset, out, count);
  };
  SampleGrouper grouper(name, number, scanned);
  Fingerprint checksum;
  bool linked = false;
  std::unordered_map<std::string, TarMember> members;
  const auto take = [&](const TarMember& member) {
    const auto [key, extension] = key_and_extension(member.name);
    std::optional<std::int32_t> label;
    if (extension.ends_with(".cls") && !is_hidden(member.name)) label = class_in(member, read);
    if (extension == ".cls" && !label && !is_hidden(member.name))
      throw Error(path, ": ", member.name, " holds something which is no class (a decimal number: 0, 1, 2 ...)");
    checksum.add(member.name);
    checksum.add(member.size);
    checksum.add(static_cast<std::uint64_t>(label.value_or(-1)));
    if (!is_hidden(member.name))
      grouper.take(member, key, extension, label);
    else if (augment::is_image_name(extension))
      scanned.noted.hidden.add(concat(name, ":", member.name));
    if (links) members.insert_or_assign(member.name, member);
  };
  for_each_tar_member(path, file.size, read, take, [&](const TarLink& link) {
    linked = linked || link.hard;
    const auto target = link.hard ? members.find(link.target) : members.end();
    if (target != members.end())
      take({link.name, target->second.offset, target->second.size, link.header});
    else if (may_matter(link.name) && !is_hidden(link.name))
      scanned.links.push_back(concat(name, ":", link.name));
  });
  if (linked && !links) return scan(folder, name, number, true);
  grouper.finish();
  scanned.checksum = checksum.value();
  return scanned;
}

std::vector<std::string> read_class_names(const std::string& folder, const std::string& directory) {
  for (const auto& place : {folder, directory}) {
    const std::string path = place + "/classes.txt";
    if (!exists(path)) continue;
    auto names = read_lines(path, kMaxNamesBytes);
    while (!names.empty() && names.back().empty()) names.pop_back();  // empty lines at the end
    std::map<std::string_view, std::size_t> lines;
    for (std::size_t i = 0; i < names.size(); ++i)
      if (const auto [first, is_new] = lines.emplace(names[i], i + 1); !is_new)
        throw UsageError(path, " names the class '", names[i], "' twice, in lines ", first->second, " and ", i + 1,
                         "; give each class a name of its own");
    return names;
  }
  return {};
}

class Shards final : public Dataset {
 public:
  /// With `findings`, damaged archives are reported there instead of thrown; then there may be no samples at all.
  Shards(const std::string& directory, Split split, ShardFindings* findings = nullptr)
      : archives_(find_archives(directory, split)) {
    const auto& names = archives_.names;
    if (names.empty()) {
      throw UsageError("no ", split == Split::kTrain ? "" : "test ", "archives in ", directory, "; looked for ",
                       split == Split::kTrain ? "train/*.tar and *.tar" : "test/*.tar, val/*.tar and *-val-*.tar",
                       "; unlabel pack makes some. Here ", describe_contents(directory));
    }
    open_folder(directory);
    std::vector<ScannedArchive> found(names.size());
    std::vector<std::string> reasons(names.size());
    const auto threads =
        std::min({names.size(), static_cast<std::size_t>(augment::usable_processors().threads), kMaxThreads});
    parallel_for(names.size(), threads, [&] {
      return [&](std::size_t i) {
        const auto damaged = broken_reason(
            [&] { found[i] = retry([&] { return scan(folder_, names[i], static_cast<std::uint32_t>(i)); }); });
        if (damaged && !findings) throw UsageError(*damaged);
        reasons[i] = damaged.value_or("");
      };
    });
    for (std::size_t i = 0; i < names.size(); ++i)
      if (!reasons[i].empty()) findings->damaged.push_back({names[i], reasons[i]});
    std::size_t total = 0;
    for (const auto& part : found) total += part.samples.size();
    samples_.reserve(total);
    MemberNotes noted;
    Examples links;
    Fingerprint checksum;
    for (auto& part : found) {
      samples_.insert(samples_.end(), part.samples.begin(), part.samples.end());
      sizes_.push_back(part.size);
      checksum.add(part.checksum);
      noted.add(part.noted);
      for (const auto& link : part.links) links.add(link);
      if (findings) std::ranges::move(part.links, std::back_inserter(findings->links));
    }
    if (samples_.empty() && findings) return;
    if (samples_.empty())
      throw UsageError("no images in the archives of ", folder_,
                       links.count == 0 ? "" : concat("; not followed: ", links.text("link", "links")));
    name_classes(directory);
    for (const auto& name : class_names_) checksum.add(name + "\n");
    checksum_ = checksum.value();
    note(split, noted, links);
  }

  /// From another's index.
  Shards(const std::string& directory, const nlohmann::json& index) {
    archives_.below = index.at("below").get<std::string>();
    archives_.names = split_texts(index.at("names"));
    class_names_ = split_texts(index.at("classes"));
    checksum_ = index.at("checksum").get<std::uint64_t>();
    sizes_ = from_binary<std::uint64_t>(index.at("sizes"));
    samples_ = from_binary<Sample>(index.at("samples"));
    const auto is_wrong = [&](const Sample& sample) {
      return sample.archive >= sizes_.size() || sample.offset > sizes_[sample.archive] ||
             sample.size > sizes_[sample.archive] - sample.offset ||
             (!class_names_.empty() &&
              (sample.label < 0 || sample.label >= static_cast<std::int32_t>(class_names_.size())));
    };
    if (samples_.empty() || sizes_.size() != archives_.names.size() || std::ranges::any_of(samples_, is_wrong))
      throw Error("a list of archives is damaged");
    open_folder(directory);
    for (const auto i : sampled_places(archives_.names.size()))
      require_same_size(folder_fd_.get(), archives_.names[i], folder_, sizes_[i]);
  }

  std::int64_t size() const override { return static_cast<std::int64_t>(samples_.size()); }

  void read(std::int64_t index, augment::ImageSource& out) const override { read_start(index, kMaxFileBytes, out); }

  void read_start(std::int64_t index, std::uint64_t bytes, augment::ImageSource& out) const override {
    const auto& sample = at(index);
    const auto& archive = archives_.names[sample.archive];
    out.pixels.release();
    out.bytes.clear();
    if (sample.size == 0) throw Error("cannot read ", name(index), ": the file is empty");
    if (sample.size > kMaxFileBytes)
      throw Error("cannot read ", name(index), ": ", sample.size, " bytes, more than the ", kMaxFileBytes, " allowed");
    const auto file = open_file(folder_fd_.get(), archive.c_str(), archive);
    out.bytes.resize(std::min(sample.size, bytes));
    read_at(file.fd.get(), archive, sample.offset, reinterpret_cast<char*>(out.bytes.data()), out.bytes.size());
  }

  std::optional<std::uint64_t> stored_bytes(std::int64_t index) const override { return at(index).size; }

  std::int64_t label(std::int64_t index) const override { return class_names_.empty() ? -1 : at(index).label; }
  const std::vector<std::string>& class_names() const override { return class_names_; }

  std::string name(std::int64_t index) const override {
    const auto& sample = at(index);
    const auto& archive = archives_.names[sample.archive];
    try {
      // Names are asked for in order: the archive stays open for the next one.
      const std::lock_guard lock(named_mutex_);
      if (named_archive_ != sample.archive) {
        named_ = open_file(folder_fd_.get(), archive.c_str(), archive);
        named_archive_ = sample.archive;
      }
      const TarRead read = [&](std::uint64_t offset, char* out, std::size_t count) {
        read_at(named_.fd.get(), archive, offset, out, count);
      };
      if (const auto name = tar_name_at(archive, named_.size, read, sample.header); !name.empty())
        return concat(archive, ":", name);
    } catch (const Error&) {  // the archive is gone: name the sample by its offset
    }
    return concat(archive, ":byte ", sample.offset);
  }

  void for_each_file(const std::function<void(std::string_view, std::uint64_t)>& visit) const override {
    for (std::size_t i = 0; i < sizes_.size(); ++i) visit(archives_.names[i], sizes_[i]);
  }

  std::optional<std::uint64_t> checksum() const override { return checksum_; }
  std::vector<std::string> notes() const override { return notes_; }
  void add_note(std::string note) { notes_.push_back(std::move(note)); }

  std::string file_index() const override {
    return pack_index({{"below", archives_.below},
                       {"names", joined_texts(archives_.names)},
                       {"classes", joined_texts(class_names_)},
                       {"checksum", checksum_},
                       {"sizes", binary_of(sizes_)},
                       {"samples", binary_of(samples_)}});
  }

  std::string description() const override {
    return concat(archives_.names.size(), archives_.names.size() == 1 ? " shard in " : " shards in ", folder_, ": ",
                  size(), size() == 1 ? " image, " : " images, ",
                  class_names_.empty() ? "no labels" : concat(class_names_.size(), " classes"), tests_beside_);
  }

 private:
  const Sample& at(std::int64_t index) const { return samples_[position(index)]; }

  void open_folder(const std::string& directory) {
    folder_ = archives_.below.empty() ? directory : directory + "/" + archives_.below;
    folder_fd_ = data::open_folder(folder_);
  }

  void name_classes(const std::string& directory) {
    const auto most = std::ranges::max(samples_, {}, &Sample::label);
    const auto unlabeled = std::ranges::count_if(samples_, [](const Sample& sample) { return sample.label < 0; });
    if (unlabeled == size()) return;
    if (unlabeled > 0) {
      const auto first = std::ranges::find_if(samples_, [](const Sample& sample) { return sample.label < 0; });
      notes_.push_back(concat(unlabeled, " of ", size(),
                              unlabeled == 1 ? " samples has no label (" : " samples have no label (",
                              name(first - samples_.begin()), unlabeled == 1 ? ")" : " ...)", ": no labels"));
      return;
    }
    class_names_ = read_class_names(folder_, directory);
    if (!class_names_.empty() && most.label >= static_cast<std::int32_t>(class_names_.size()))
      throw UsageError("classes.txt of ", folder_, " names ", class_names_.size(), " classes, and a sample is of ",
                       most.label, "; they count from 0");
    if (class_names_.empty())
      for (int i = 0; i <= most.label; ++i) class_names_.push_back(std::to_string(i));
  }

  void note(Split split, const MemberNotes& noted, const Examples& links) {
    if (const auto& others = archives_.left_out; split == Split::kTrain && others.count > 0) {
      if (archives_.below.empty())
        tests_beside_ = concat("; left out: ", others.text("archive", "archives"), " named as test images");
      else
        notes_.push_back(
            concat(others.text("archive", "archives"), " beside ", folder_, " left out of the training images"));
    }
    noted.dotted.note(notes_, noted.dotted.text("image", "images"),
                      " taken by the last extension of a name with several dots: their samples have no other");
    noted.passed_over.note(notes_, "passed over ", noted.passed_over.verb(), " ",
                           noted.passed_over.text("member that ends like an image", "members that end like images"),
                           ": another one of the sample is taken, or the format is not read");
    archives_.nowhere.note(notes_, "beside the archives ", archives_.nowhere.verb(), " ",
                           archives_.nowhere.text("link to nowhere", "links to nowhere"), ": is a disk not mounted?");
    archives_.compressed.note(notes_, archives_.compressed.text("compressed archive", "compressed archives"), " in ",
                              folder_, " ", archives_.compressed.verb(), " not read: decompress ",
                              archives_.compressed.count == 1 ? "it" : "them", " to .tar");
    links.note(notes_, "left out: ", links.text("link", "links"),
               ", symbolic or to a member that does not come before it in the archive", kLook);
    noted.hidden.note(notes_, "passed over ", noted.hidden.verb(), " ", noted.hidden.text("image", "images"),
                      ", hidden or in a folder of thumbnails and the like");
    noted.lone_classes.note(notes_,
                            noted.lone_classes.text("member with a class belongs", "members with a class belong"),
                            " to no image: names must be equal up to the first dot, and follow each other");
  }

  Archives archives_;
  std::string tests_beside_;  ///< of the description: archives that are no training images
  std::string folder_;
  FileDescriptor folder_fd_;
  std::vector<std::uint64_t> sizes_;
  std::vector<Sample> samples_;
  std::vector<std::string> class_names_;
  std::vector<std::string> notes_;
  std::uint64_t checksum_ = 0;
  mutable std::mutex named_mutex_;  ///< guards what name() keeps open
  mutable OpenFile named_;
  mutable std::uint32_t named_archive_ = std::numeric_limits<std::uint32_t>::max();
};

/// A name that would not come back from a line of classes.txt as it was.
void require_plain_class_names(const Dataset& dataset) {
  for (const auto& name : dataset.class_names()) {
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    if (!name.empty() && std::ranges::none_of(name, is_control)) continue;
    std::string shown = name;
    std::ranges::replace_if(shown, is_control, '?');
    throw UsageError("the class '", shown, "' of ", dataset.description(),
                     " has a line break or another control character in its name, and classes.txt has a line for each ",
                     "class; rename the folder");
  }
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

std::shared_ptr<const Dataset> open_whole_shards(const std::string& directory, Split split, ShardFindings& findings) {
  auto shards = std::make_shared<Shards>(directory, split, &findings);
  return shards->size() > 0 ? shards : nullptr;
}

std::shared_ptr<const Dataset> open_indexed_shards(const std::string& directory, const std::string& index) {
  return std::make_shared<Shards>(directory, unpack_index(index));
}

std::shared_ptr<const Dataset> open_test_shards(const std::string& directory) {
  if (has_shards(directory, Split::kTest)) return open_shards(directory, Split::kTest);
  const auto found = find_archives(directory, Split::kTrain);
  const auto& below = found.below;
  if (below.empty()) {
    Examples train;
    for (const auto& name : found.names)
      if (const auto words = augment::words_of(name); std::ranges::find(words, "train") != words.end()) train.add(name);
    auto shards = std::make_shared<Shards>(directory, Split::kTrain);
    if (train.count > 0)
      shards->add_note(concat("taken for test images ", train.verb(), " ", train.text("archive", "archives"),
                              " named as training images"));
    return shards;
  }
  throw UsageError("shards:", directory, " has ", below,
                   "/ but no test/ or val/ inside; name the folder of the test archives");
}

bool has_shards(const std::string& directory, Split split) { return !find_archives(directory, split).names.empty(); }

std::vector<std::string> write_shards(const Dataset& dataset, const std::string& directory, const std::string& prefix,
                                      const PackOptions& options) {
  require_plain_class_names(dataset);
  if (options.shard_bytes < 1) throw UsageError("archives of 0 bytes; give at least 1 (each holds a sample at least)");
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) throw Error("cannot make the folder ", directory, ": ", error.message());
  const Permutation order(static_cast<std::uint64_t>(dataset.size()), options.seed, 0);
  ShardWriter writer(concat(directory, "/", prefix, "-"), options.shard_bytes);
  augment::ImageSource source;
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    const auto index = options.shuffle ? static_cast<std::int64_t>(order(static_cast<std::uint64_t>(i))) : i;
    retry([&] { dataset.read(index, source); });
    if (!source.pixels.empty()) source.bytes = augment::encode_png(source.pixels);
    const auto format = augment::image_format(source.bytes);
    if (format == augment::ImageFormat::kUnknown)
      throw Error("cannot pack ", dataset.name(index), ": it is no image; unlabel check lists all such");
    const std::string key = numbered("", i, 8, "");
    const std::string json = json_line(nlohmann::json{{"name", dataset.name(index)}});
    const std::string_view image(reinterpret_cast<const char*>(source.bytes.data()), source.bytes.size());
    std::vector<std::pair<std::string, std::string_view>> files{
        {concat(key, augment::format_name(format).extension), image}, {key + ".json", json}};
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
