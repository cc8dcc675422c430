#pragma once

#include <unlabel/augment/options.h>
#include <unlabel/augment/transforms/multi_crop.h>
#include <unlabel/data/dataset.h>
#include <unlabel/data/loader.h>
#include <unlabel/eval/labels.h>

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

/// The features of a data set: one row per image, in the data set's order, complete on every rank.
struct Features : Labels {
  at::Tensor values;                ///< n x d, float32, on the CPU
  at::Tensor indices;               ///< n, int64: each row's position in the data set
  std::int64_t skipped = 0;         ///< broken images that were left out (FeatureOptions::broken = "skip")
  augment::DecodeReport decoded{};  ///< what decoding reported, over all ranks

  std::int64_t dim() const { return values.size(1); }
};

/// How features are computed.
struct FeatureOptions {
  std::int64_t batch_size = 256;      ///< images encoded at once on each rank; does not change the result
  int threads = 2;                    ///< decoding threads on each rank; 0: decode in the calling thread
  std::string precision = "float32";  ///< float32, bf16 or fp16 (autocast); "auto" is resolved by programs
  std::string device = "cpu";         ///< cpu, cuda or cuda:N, where the encoder must be; not in the table
  std::string broken = "fail";        ///< an image that cannot be decoded: fail, or skip (left out and counted)
  augment::DecodeOptions decode;      ///< how files become pixels; not in the table
  /// How long reading is retried while files are temporarily unreadable (data::LoaderOptions); not in the table.
  std::chrono::milliseconds retry_time = data::LoaderOptions().retry_time;
};

OptionTable table(FeatureOptions& options);

/// This rank's part of `rows` rows, which are split over the ranks into contiguous ranges of ceil(rows / world size); the last ones may be
/// shorter or empty.
struct RankRange {
  RankRange(std::int64_t rows, const ssl::Group& group);
  std::int64_t each;        ///< ceil(rows / world size)
  std::int64_t begin, end;  ///< this rank's rows
};

/// One decode report of those of all ranks, which must all call it.
augment::DecodeReport all_reduce(augment::DecodeReport report, const ssl::Group& group);

/// How a loader reads images for a measurement: the same for training and test images, whatever the protocol.
data::LoaderOptions loader_options(const FeatureOptions& options);

/// Encodes a data set, or only its `samples` where any are given, in eval mode and without gradients.
///
/// Each rank encodes a contiguous range, and the rows are gathered, so that every rank holds all of them. The encoder's
/// modules are left in the modes they were in; no global random state is touched. `view` has one view; its random
/// transforms, if any, are drawn with seed 0 and epoch 0.
///
/// A broken image is never replaced by another one here: by default it throws, on every rank, an Error that names it. So do features that
/// are not finite. Throws UsageError for a view count other than one, an unknown precision or device, and an empty data set.
Features extract_features(ssl::Encoder& encoder, std::shared_ptr<const data::Dataset> dataset,
                          const augment::MultiCrop& view, const FeatureOptions& options, const ssl::Group& group,
                          std::vector<std::int64_t> samples = {});

/// The view's raw pixels as features: d = channels * height * width. A baseline for any encoder.
Features pixel_features(std::shared_ptr<const data::Dataset> dataset, const augment::MultiCrop& view,
                        const FeatureOptions& options, const ssl::Group& group);

/// Subtracts the training set's mean from both: one number for each feature ("the mean image" for pixels). Cosine
/// similarity of raw pixels is otherwise dominated by brightness.
void center(Features& train, Features& test);

/// At most `limit` sample numbers in {0, ..., n - 1}, sorted: all of them, or a draw without replacement that is keyed
/// by `seed`.
std::vector<std::int64_t> choose_samples(std::int64_t n, std::int64_t limit, std::uint64_t seed = 0);

/// Throws UsageError unless both sets are labeled (require_labeled) and of one dimension, and Error unless they are finite.
void require_valid(const Features& train, const Features& test);

}  // namespace unlabel::eval
