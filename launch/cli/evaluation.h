#pragma once

#include <unlabel/augment/transforms/multi_crop.h>
#include <unlabel/data/dataset.h>
#include <unlabel/eval/features.h>
#include <unlabel/eval/test_set.h>
#include <unlabel/launch/command_line.h>
#include <unlabel/launch/distributed/agreement.h>
#include <unlabel/launch/distributed/process_group.h>
#include <unlabel/launch/run/command_output.h>
#include <unlabel/ssl/models/encoder.h>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace unlabel::launch {

/// What is measured, on what: shared by knn, linear and embed.
struct EvaluationOptions {
  std::string checkpoint;                        ///< a run folder, or a file of weights
  bool untrained = false;                        ///< random weights instead
  bool pixels = false;                           ///< no encoder: the images themselves, centered
  std::string data;                              ///< a data set with a training and a test split
  std::string train;                             ///< the training split, instead of the one of `data`
  std::string test;                              ///< the test split, instead of the one of `data`
  std::optional<std::int64_t> size;              ///< side of the images that the encoder sees
  std::optional<std::vector<double>> mean, std;  ///< of the normalization
  std::optional<bool> exif_orientation;          ///< another name of decode.exif_orientation
  augment::DecodeOptions decode;                 ///< what is given of it wins over what the checkpoint was trained with
  std::uint64_t seed = 0;                        ///< of untrained weights and of the probe
  std::string device = "auto";
  std::string backend = "auto";
  int timeout = 600;
  std::string json;
  ssl::EncoderOptions encoder;  ///< for weights that do not tell, and for `untrained`
  eval::FeatureOptions features;
};
OptionTable table(EvaluationOptions& options);

/// What is read: --checkpoint and the folders of data.
std::vector<NamedFile> files_of(const EvaluationOptions& options);

/// The encoder to measure, and how it wants its images.
struct EvaluatedModel {
  std::shared_ptr<ssl::Encoder> encoder;  ///< null: pixels
  std::string description;                ///< "runs/first/encoder.safetensors (resnet18, width 16)"
  std::int64_t size = 0;  ///< side in pixels; 0 until resolve_size where neither the options nor the weights say it
  std::vector<double> mean, std;
  augment::DecodeOptions decode;

  /// The one view that evaluation takes of an image.
  augment::MultiCrop view() const;
};

/// Loads or builds what the options name. The network is what the weights say; of what `line` gives, --encoder options are for weights that
/// do not tell and --decode options win over what the checkpoint was trained with. Throws UsageError unless one of checkpoint, untrained
/// and pixels says what to measure (`untrained` and `pixels` may take architecture and size from a checkpoint), for weights that are not
/// finite and for metadata that cannot be read; MismatchError for --encoder options that contradict the weights.
EvaluatedModel load_model(const EvaluationOptions& options, const CommandLine& line, at::Device device);

/// Where the subject has no size yet: the median short side of the images up to 64 pixels, else 224. All ranks must call it together.
/// Throws UsageError when the encoder does not take images of that size.
void resolve_size(EvaluatedModel& subject, const data::Dataset& images, const EvaluationOptions& options,
                  const ssl::Group& group);

/// Adds what was measured to a result: subject, size, data.
void describe(const EvaluatedModel& subject, const EvaluationOptions& options, nlohmann::json& result);

/// The training and the test images of a measurement.
struct MeasuredSets {
  std::shared_ptr<const data::Dataset> train, test;
  eval::SharedImages shared;  ///< test images that are training images too; looked for on rank 0 alone
};

/// Opens both on all ranks (open_on_all_ranks) and checks what is known before any feature is made. Throws UsageError when one of them has
/// images without a label, or when no test image is of a training class; what is doubtful goes to `warnings`.
MeasuredSets open_sets(const EvaluationOptions& options, const ssl::Group& group, Warnings& warnings);

/// Ends knn and linear: prints which images, the subject, `text` and how many test images are training images, and writes `result` with
/// what was measured to --json.
void report(const EvaluatedModel& subject, const EvaluationOptions& options, const MeasuredSets& sets,
            const std::string& text, nlohmann::json result, const Warnings& warnings);

/// The split that a command needs, from --train or --test, or from --data, on all ranks. Throws UsageError when neither is given.
std::shared_ptr<const data::Dataset> open_split(const EvaluationOptions& options, data::Split split,
                                                const ssl::Group& group);

/// Throws MismatchError (93) on every rank when ranks have other settings or other weights.
void agree_on_settings(const ssl::Group& group, const OptionTable& settings, const EvaluatedModel& subject);

/// How images become features: the same for training and test images, in every protocol.
eval::FeatureOptions feature_options(const EvaluatedModel& subject, const EvaluationOptions& options,
                                     at::Device device);

/// Features of a split by the subject.
eval::Features model_features(const EvaluatedModel& subject, std::shared_ptr<const data::Dataset> dataset,
                              const EvaluationOptions& options, at::Device device, const ssl::Group& group,
                              Warnings& warnings);

/// Settles --features.precision auto (resolve_precision) once ranks have met, and says on rank 0 what it comes to, or warns of a given
/// one that is slow here. Every rank must call it.
void settle_feature_precision(EvaluationOptions& options, at::Device device, const ssl::Group& group,
                              Warnings& warnings);

}  // namespace unlabel::launch
