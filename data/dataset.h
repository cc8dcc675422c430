#pragma once

#include <unlabel/augment/decode.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace unlabel::data {

/// Images by index, with or without labels. Reading is thread-safe; the order is fixed and the same on every machine.
class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual std::int64_t size() const = 0;

  /// Fills `out` with sample `index` (reusing its memory). Throws Error that names the file when it cannot be read.
  virtual void read(std::int64_t index, augment::Source& out) const = 0;

  /// The class of a sample, in [0, class_names().size()), or -1 when the data set has no labels.
  virtual std::int64_t label(std::int64_t index) const = 0;

  /// Names of the classes in label order; empty when there are no labels.
  virtual const std::vector<std::string>& class_names() const = 0;

  /// What to call a sample in messages: the path below the root, or "train-images-idx3-ubyte.gz[12]".
  virtual std::string name(std::int64_t index) const = 0;

  /// A hash of the names and sizes of all files, so that a changed data set is noticed.
  virtual std::uint64_t fingerprint() const = 0;

  /// One line for the log: "image folder /data/photos/train: 1281167 images, 1000 classes".
  virtual std::string description() const = 0;
};

/// Which part of a data set is wanted.
enum class Split {
  kTrain,  ///< `train/` where there is one, else the folder itself
  kTest,   ///< `test/` or `val/`; an error when there is neither
};

/// Opens a data set, by its content or by a prefix: `folder:DIR` (images, in class folders or not; byte-sorted relative paths), `cifar10:DIR`
/// (data_batch_*.bin, test_batch.bin), `idx:DIR` (train-images-idx3-ubyte and so on, plain or .gz). Throws UsageError for a folder that
/// is missing, empty, unreadable or unlike any of them.
std::shared_ptr<const Dataset> open_dataset(const std::string& spec, Split split);

}  // namespace unlabel::data
