#pragma once

#include <unlabel/augment/codec/decode.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace unlabel::data {

/// Images by index, with or without labels. Reading is thread-safe; the order is fixed and the same on every machine.
class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual std::int64_t size() const = 0;

  /// Fills `out` with sample `index` (reusing its memory). Throws Error that names the file when it cannot be read, and
  /// UsageError when that is no fault of the file: an index out of range, too many open files.
  virtual void read(std::int64_t index, augment::ImageSource& out) const = 0;

  /// The same for reading only the header: if the sample is a file, `out` may have only the file's first `bytes` bytes. The default calls
  /// read().
  virtual void read_start(std::int64_t index, std::uint64_t bytes, augment::ImageSource& out) const;

  /// The size of a sample's file where it is known without reading the file system: in an archive.
  virtual std::optional<std::uint64_t> stored_bytes(std::int64_t /*index*/) const { return std::nullopt; }

  /// The class of a sample, in [0, class_names().size()), or -1 when the data set has no labels.
  virtual std::int64_t label(std::int64_t index) const = 0;

  /// Names of the classes in label order; empty when there are no labels.
  virtual const std::vector<std::string>& class_names() const = 0;

  /// What to call a sample in messages: the path below the root, or "train-images-idx3-ubyte.gz[12]".
  virtual std::string name(std::int64_t index) const = 0;

  /// Calls `visit` with the name and the size in bytes of each file that the data set consists of, in a fixed order. The first call may
  /// ask the file system for the size of every file.
  virtual void for_each_file(const std::function<void(std::string_view, std::uint64_t)>& visit) const = 0;

  /// A checksum of the contents, where opening has read them: of CIFAR-10's and IDX's files, and of the names, sizes and classes in
  /// archives. Without one, files are identified by names and sizes alone.
  virtual std::optional<std::uint64_t> checksum() const { return std::nullopt; }

  /// FNV-1a over the files: each name, a zero byte, and the size; then the checksum, where there is one; so that a changed data set is
  /// noticed.
  std::uint64_t fingerprint() const;

  /// The same without the checksum: what checkpoints held before there was one.
  std::uint64_t fingerprint_of_names() const;

  /// Sentences on what opening ignored, included or guessed from names: files that look like images and cannot be read, folders whose
  /// names look like a split (`val2017`). Every command prints them.
  virtual std::vector<std::string> notes() const { return {}; }

  /// What opening found (names, sizes, offsets in archives), compressed, from which open_indexed opens the same data set in another
  /// process. Empty where the files are read whole anyway.
  virtual std::string file_index() const { return {}; }

  /// One line for the log: "image folder /data/photos/train: 1281167 images, 1000 classes".
  virtual std::string description() const = 0;

 protected:
  /// `index` as a position in an array. Throws UsageError for one that is not in the data set.
  std::size_t position(std::int64_t index) const;
};

/// Which part of a data set is wanted.
enum class Split {
  kTrain,  ///< `train/` where there is one, else the folder itself without what is named as test images
  kTest,   ///< `test/`, else `val/`, `validation/` and their like; an error when there is none
};

/// The sizes of a data set's images in pixels, as stored, before any EXIF rotation. The short side is the smaller of width and height.
struct ImageSizes {
  int median_short_side = 0;  ///< the lower median
  int min_short_side = 0;
  int max_short_side = 0;
  int surveyed = 0;  ///< images whose size was read
  int broken = 0;    ///< images whose size could not be read; not counted in `surveyed`
};

/// Sample `i` of `count` that are evenly spaced over `size`: i * size / count, without overflow.
inline std::int64_t evenly_spaced(std::int64_t i, std::int64_t count, std::int64_t size) {
  return size / count * i + size % count * i / count;
}

/// Reads the headers of at most `samples` images, evenly spaced over the data set, decoding none; the same images
/// every time. Of a file 256 KiB are read, and the rest only where the size is not in them. Throws Error,
/// with the first reason, when none of them can be read.
ImageSizes sample_image_sizes(const Dataset& dataset, int samples = 256);

}  // namespace unlabel::data
