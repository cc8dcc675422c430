#include <unlabel/augment/system_error.h>
#include <unlabel/data/image/idx.h>
#include <unlabel/data/io/retry.h>

#include <fcntl.h>
#include <zlib.h>

#include <cerrno>
#include <cstring>

namespace unlabel::data {

namespace {

constexpr std::uint64_t kMaxBytes = std::uint64_t{16} << 30, kHarmlessBytes = std::uint64_t{64} << 20;
/// Photographs and letters shrink by 3 to 30 times.
constexpr std::uint64_t kMostShrunk = 100;
constexpr std::size_t kPiece = std::size_t{1} << 20;

/// The stem before "images" or "labels" and the rest after it, of a name such as "train-images-idx3-ubyte.gz".
struct Parsed {
  std::string stem;
  bool compressed;
};

std::optional<Parsed> parse(std::string_view name, std::string_view what, char rank) {
  const bool compressed = name.ends_with(".gz");
  if (compressed) name.remove_suffix(3);
  for (const char separator : {'-', '.'}) {
    const auto tail = concat(what, separator, "idx", rank, "-ubyte");
    if (name.ends_with(tail)) return Parsed{std::string(name.substr(0, name.size() - tail.size())), compressed};
  }
  return std::nullopt;
}

bool is_of(std::string_view stem, Split split) {
  if (split == Split::kTrain) return stem.ends_with("train-");
  return stem.ends_with("t10k-") || stem.ends_with("test-");
}

/// Whether there is a file of images named like that of a split.
bool names_images(const FolderContents& contents, Split split) {
  return std::ranges::any_of(contents.files, [&](const auto& name) {
    const auto parsed = parse(name, "images", '3');
    return parsed && is_of(parsed->stem, split);
  });
}

/// The counts and the bytes of an IDX file of unsigned bytes with `Rank` dimensions.
template <std::size_t Rank>
struct IdxFile {
  std::array<std::uint32_t, Rank> shape{};
  std::vector<std::uint8_t> bytes;
  std::uint64_t file_size = 0;
};

class GzipReader {
 public:
  explicit GzipReader(const std::string& path) : path_(path) {
    as_usage_error("", "", [&] {
      auto file = open_file(AT_FDCWD, path.c_str(), path);
      file_size_ = file.size;
      file_ = gzdopen(file.fd.get(), "rb");
      if (!file_) throw_system_error(concat("cannot read ", path), ENOMEM);
      file.fd.release();
    });
    gzbuffer(file_, 1 << 17);
  }
  ~GzipReader() {
    if (file_) gzclose_r(file_);
  }
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;

  /// The most bytes that can follow `header` bytes: deflate shrinks by a factor of 1032 at most.
  std::uint64_t capacity_after(std::size_t header) { return compressed() ? file_size_ * 1033 : file_size_ - header; }
  bool compressed() { return gzdirect(file_) == 0; }
  std::uint64_t file_size() const { return file_size_; }

  void read(std::uint8_t* out, std::size_t size) {
    for (std::size_t done = 0; done < size;) {
      const auto count = gzread(file_, out + done, static_cast<unsigned>(std::min<std::size_t>(size - done, 1 << 20)));
      if (count <= 0) throw_when_unreadable();
      if (count <= 0) throw UsageError(path_, why("ends before its header says so"), "; fetch the file again");
      done += static_cast<std::size_t>(count);
    }
  }

  void expect_end() {
    std::uint8_t more;
    const auto count = gzread(file_, &more, 1);
    if (count > 0) throw UsageError(path_, " holds more than its header says; fetch the file again");
    int code = Z_OK;  // an end within the checksum returns 0, as the right one does
    gzerror(file_, &code);
    if (count < 0 || code != Z_OK) throw_when_unreadable();
    if (count < 0 || code != Z_OK) throw UsageError(path_, why("is cut off"), "; fetch the file again");
  }

 private:
  /// For the system's errors, as against those of the compressed bytes. An interrupted read is one of them, as zlib loses its place, and
  /// so is too little memory.
  void throw_when_unreadable() {
    const int error = errno;
    int code = Z_OK;
    gzerror(file_, &code);
    if (code == Z_ERRNO) throw_system_error(concat("cannot read ", path_), error);
    if (code == Z_MEM_ERROR) throw_system_error(concat("cannot read ", path_), ENOMEM);
  }

  std::string why(const char* otherwise) {
    int code = Z_OK;
    const char* text = gzerror(file_, &code);
    return code == Z_OK || code == Z_BUF_ERROR ? concat(" ", otherwise) : concat(" is damaged (", text, ")");
  }

  std::string path_;
  gzFile file_ = nullptr;
  std::uint64_t file_size_ = 0;
};

template <std::size_t Rank>
IdxFile<Rank> read_idx(const std::string& path) {
  GzipReader reader(path);
  IdxFile<Rank> file;
  file.file_size = reader.file_size();
  std::array<std::uint8_t, 4 + 4 * Rank> header{};
  reader.read(header.data(), header.size());
  const std::array<std::uint8_t, 4> magic{0, 0, 8, Rank};
  if (!std::equal(magic.begin(), magic.end(), header.begin()))
    throw UsageError(path, " is no IDX file of bytes with ", Rank, Rank == 1 ? " dimension" : " dimensions",
                     "; is its name right?");
  std::uint64_t count = 1;
  for (std::size_t i = 0; i < Rank; ++i) {
    const auto* p = header.data() + 4 + 4 * i;
    file.shape[i] = std::uint32_t{p[0]} << 24 | std::uint32_t{p[1]} << 16 | std::uint32_t{p[2]} << 8 | p[3];
    if (i > 0 && (file.shape[i] < 1 || file.shape[i] > 65535))
      throw UsageError(path, " says that an image has a side of ", file.shape[i], " pixels; the file is damaged");
    count *= file.shape[i];  // below 2^32 * 2^16 * 2^16
    if (count > kMaxBytes)
      throw UsageError(path, " says that it holds more than ", kMaxBytes >> 30, " GiB, more than is taken");
    if (count > reader.capacity_after(header.size()))
      throw UsageError(path, " says that it holds more than the file can; the file is damaged or cut off");
  }
  if (count == 0) throw UsageError(path, " holds nothing, by its header");
  if (reader.compressed() && count > kHarmlessBytes && count / kMostShrunk > reader.file_size())
    throw UsageError(path, " holds ", count >> 20, " MiB in ", reader.file_size() >> 10, " KiB, by its header; what ",
                     "shrinks by more than ", kMostShrunk, " times is not taken: if it is sound, unpack it");
  require_memory(count, path);
  // No more than the header's count is asked for, and pages are touched as they are filled.
  file.bytes.reserve(count);
  while (file.bytes.size() < count) {
    const auto done = file.bytes.size();
    file.bytes.resize(std::min<std::size_t>(count, done + kPiece));
    reader.read(file.bytes.data() + done, file.bytes.size() - done);
  }
  reader.expect_end();
  return file;
}

class Idx : public Dataset {
 public:
  Idx(const std::string& directory, Split split) {
    const auto contents = list_folder(directory);
    std::vector<std::string> stems;
    for (const auto& file : contents.files) {
      const auto parsed = parse(file, "images", '3');
      if (parsed && is_of(parsed->stem, split) && std::ranges::find(stems, parsed->stem) == stems.end())
        stems.push_back(parsed->stem);
    }
    const char* wanted = split == Split::kTrain ? "train-images-idx3-ubyte" : "t10k-images-idx3-ubyte";
    if (stems.empty())
      throw UsageError("no ", wanted, " in ", directory, " (plain or .gz); give the folder with the IDX files");
    if (stems.size() > 1) {
      throw UsageError(directory, " holds several IDX data sets (", stems[0], "images..., ", stems[1],
                       "images...); put the one you mean into a folder of its own");
    }
    images_name_ = *find(contents, stems[0], "images", '3');
    auto images = retry([&] { return read_idx<3>(directory + "/" + images_name_); });
    height_ = static_cast<int>(images.shape[1]);
    width_ = static_cast<int>(images.shape[2]);
    pixels_ = std::move(images.bytes);
    size_ = images.shape[0];
    files_.emplace_back(images_name_, images.file_size);
    if (const auto labels_name = find(contents, stems[0], "labels", '1')) {
      auto labels = retry([&] { return read_idx<1>(directory + "/" + *labels_name); });
      if (labels.shape[0] != images.shape[0]) {
        throw UsageError(directory, ": ", images_name_, " holds ", images.shape[0], " images and ", *labels_name, " ",
                         labels.shape[0], " labels; they do not belong together");
      }
      labels_ = std::move(labels.bytes);
      for (int c = 0; c <= *std::ranges::max_element(labels_); ++c) class_names_.push_back(std::to_string(c));
      files_.emplace_back(*labels_name, labels.file_size);
    }
    checksum_ = checksum_of(pixels_);
    checksum_ = (checksum_ ^ checksum_of(labels_)) * 31 + static_cast<std::uint64_t>(width_);
    description_ = concat("IDX ", directory, "/", images_name_, ": ", size_, " images of ", width_, " x ", height_,
                          ", ", class_names_.empty() ? "no labels" : concat(class_names_.size(), " classes"));
  }

  std::int64_t size() const override { return size_; }

  void read(std::int64_t index, augment::ImageSource& out) const override {
    const auto bytes = static_cast<std::size_t>(height_) * static_cast<std::size_t>(width_);
    const auto* image = pixels_.data() + position(index) * bytes;
    out.bytes.clear();
    out.pixels.create(height_, width_, CV_8UC1);
    std::memcpy(out.pixels.data, image, bytes);
  }

  std::int64_t label(std::int64_t index) const override {
    const auto i = position(index);
    return labels_.empty() ? -1 : labels_[i];
  }

  const std::vector<std::string>& class_names() const override { return class_names_; }
  std::string name(std::int64_t index) const override { return concat(images_name_, "[", position(index), "]"); }
  void for_each_file(const std::function<void(std::string_view, std::uint64_t)>& visit) const override {
    for (const auto& [file, bytes] : files_) visit(file, bytes);
  }
  std::optional<std::uint64_t> checksum() const override { return checksum_; }
  std::string description() const override { return description_; }

 private:
  /// The file of that stem, the plain one first.
  static std::optional<std::string> find(const FolderContents& contents, const std::string& stem, std::string_view what,
                                         char rank) {
    std::optional<std::string> found;
    bool found_compressed = false;
    for (const auto& file : contents.files) {
      const auto parsed = parse(file, what, rank);
      if (!parsed || parsed->stem != stem || (found && (parsed->compressed || !found_compressed))) continue;
      found = file;
      found_compressed = parsed->compressed;
    }
    return found;
  }

  std::string images_name_;
  std::vector<std::uint8_t> pixels_, labels_;
  std::int64_t size_ = 0;
  int height_ = 0, width_ = 0;
  std::vector<std::string> class_names_;
  std::vector<std::pair<std::string, std::uint64_t>> files_;
  std::string description_;
  std::uint64_t checksum_ = 0;
};

}  // namespace

std::shared_ptr<const Dataset> open_idx(const std::string& directory, Split split) {
  return std::make_shared<Idx>(directory, split);
}

bool names_idx(const FolderContents& contents) {
  return names_images(contents, Split::kTrain) || names_images(contents, Split::kTest);
}

bool has_idx(const std::string& directory, Split split) { return names_images(list_folder(directory), split); }

}  // namespace unlabel::data
