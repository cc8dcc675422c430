#pragma once

#include <unlabel/augment/options.h>
#include <unlabel/augment/transforms/multi_crop.h>
#include <unlabel/data/dataset.h>
#include <unlabel/data/loader.h>

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace unlabel::ssl {
struct Encoder;
class Group;
}  // namespace unlabel::ssl

namespace unlabel::eval {

/// What an encoder makes of a data set: one row an image, in the data set's order, complete on every rank.
struct Features {
  at::Tensor values;                     ///< n x d, float32, on the CPU
  at::Tensor labels;                     ///< n, int64; -1 where the data has no label
  at::Tensor indices;                    ///< n, int64: each row's position in the data set
  std::vector<std::string> class_names;  ///< by label; empty: no labels, or labels without names
  std::int64_t skipped = 0;              ///< broken images that were left out (FeatureOptions::broken = "skip")
  augment::DecodeReport decoded{};       ///< what was noticed about the images, on all ranks
  std::string source;                    ///< what they are of, for messages: the data set's description

  std::int64_t size() const { return values.defined() ? values.size(0) : 0; }
  std::int64_t dim() const { return values.size(1); }
};

/// How features are computed.
struct FeatureOptions {
  std::int64_t batch_size = 256;  ///< images at once on each rank; does not change the result
  int threads = 2;                ///< decoding threads on each rank; 0: decode in turn
  std::string precision =
      "float32";  ///< float32, bf16 or fp16: of the encoder's arithmetic (autocast); programs resolve "auto"
  std::string device = "cpu";     ///< cpu, cuda or cuda:N; the encoder must be there
  std::string broken = "fail";    ///< an image that cannot be read: fail, or skip (left out and counted)
  augment::DecodeOptions decode;  ///< how files become pixels; not in the table
  /// How long a batch waits for files that cannot be read for trouble outside (data::LoaderOptions); not in the table.
  std::chrono::milliseconds patience = data::LoaderOptions().patience;
};

OptionTable table(FeatureOptions& options);

/// What ranks noticed about the images that each of them decoded, in one. All ranks must call it together.
augment::DecodeReport of_all_ranks(augment::DecodeReport report, const ssl::Group& group);

/// How a loader reads images for a measurement: the same for training and test images, whatever the protocol.
data::LoaderOptions loader_options(const FeatureOptions& options);

/// Encodes a whole data set, or the `samples` of it that are named, in eval mode and without gradients.
///
/// Each rank encodes a contiguous range, and the rows are gathered, so that every rank holds all of them. The encoder's
/// modules are left in the modes they were in; no global random state is touched. `view` has one view; its random
/// transforms, if any, are drawn with seed 0 and epoch 0.
///
/// A broken image never stands for another one here: by default it ends the work on every rank with an Error that names
/// it. So do features that are not finite (Error). Throws UsageError for a view count other than one, an unknown precision or device, and
/// an empty data set.
Features extract_features(ssl::Encoder& encoder, std::shared_ptr<const data::Dataset> dataset,
                          const augment::MultiCrop& view, const FeatureOptions& options, const ssl::Group& group);
Features extract_features(ssl::Encoder& encoder, std::shared_ptr<const data::Dataset> dataset,
                          std::vector<std::int64_t> samples, const augment::MultiCrop& view,
                          const FeatureOptions& options, const ssl::Group& group);

/// The view's raw pixels as features: d = channels * height * width. A baseline that any encoder should be shown
/// beside.
Features pixel_features(std::shared_ptr<const data::Dataset> dataset, const augment::MultiCrop& view,
                        const FeatureOptions& options, const ssl::Group& group);

/// Subtracts the training set's mean from both: one number for each feature ("the mean image" for pixels). Cosine
/// similarity of raw pixels is otherwise dominated by brightness.
void center(Features& train, Features& test);

/// At most `limit` sample numbers in {0, ..., n - 1}, sorted: all of them, or a draw without replacement that is keyed
/// by `seed`.
std::vector<std::int64_t> choose_samples(std::int64_t n, std::int64_t limit, std::uint64_t seed = 0);

/// `test`'s labels in the numbering of `train_class_names`: classes are matched by name, so that a test folder that
/// lacks a class, or has one more, does not shift the others. A name that training has not seen becomes -1, which
/// counts as wrong. Without names on either side the numbers are taken as they are.
at::Tensor match_labels(const Features& test, const std::vector<std::string>& train_class_names);

/// The labels of a data set, of all samples and without values (n x 0): what is known before any image is read.
Features labels_of(const data::Dataset& dataset);

/// Throws UsageError unless both sets are labeled, not empty and of one dimension, and Error unless they are finite: what every supervised
/// measure needs.
void require_labeled(const Features& train, const Features& test);

}  // namespace unlabel::eval
