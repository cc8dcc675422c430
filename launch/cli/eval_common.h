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
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace unlabel::launch {

/// The options that knn, linear and embed share.
struct EvaluationOptions {
  std::string checkpoint;                        ///< a run folder, or a file of weights
  bool untrained = false;                        ///< random weights instead
  bool pixels = false;                           ///< no encoder: the images themselves, centered
  std::string data;                              ///< a data set with a training and a test split
  std::string train;                             ///< the training split, instead of that of `data`
  std::string test;                              ///< the test split, instead of that of `data`
  std::optional<std::int64_t> size;              ///< side of the encoder's input images
  std::optional<std::vector<double>> mean, std;  ///< of the normalization
  std::optional<bool> exif_orientation;          ///< another name of decode.exif_orientation
  augment::DecodeOptions decode;                 ///< options that are given override those of the checkpoint's training
  std::uint64_t seed = 0;                        ///< of random weights, and of protocols that draw random numbers
  std::string device = "auto";
  std::string backend = "auto";
  int timeout = 600;
  std::string json;
  ssl::EncoderOptions encoder;  ///< for weights of unknown architecture, and for `untrained`
  eval::FeatureOptions features;
};
OptionTable table(EvaluationOptions& options);

/// The files that the command reads: --checkpoint and the folders of data.
std::vector<NamedFile> files_of(const EvaluationOptions& options);

/// The encoder to measure, and its input.
struct EvaluatedModel {
  std::shared_ptr<ssl::Encoder> encoder;  ///< null: pixels
  std::string description;                ///< "runs/first/encoder.safetensors (resnet18, width 16)"
  std::int64_t size = 0;  ///< side in pixels; 0 until resolve_size where neither options nor weights have it
  std::vector<double> mean, std;
  augment::DecodeOptions decode;

  /// The one view that evaluation takes of an image.
  augment::MultiCrop view() const;
};

/// Loads or builds the model of the options. The architecture is that of the weights; of what `line` gives, --encoder options are for
/// weights of unknown architecture, and --decode options override those of the checkpoint's training. Throws UsageError unless one of
/// checkpoint, untrained and pixels is given (`untrained` and `pixels` may take architecture and size from a checkpoint), for weights that
/// are not finite and for unreadable metadata; MismatchError for --encoder options that contradict the weights.
EvaluatedModel load_model(const EvaluationOptions& options, const CommandLine& line, at::Device device);

/// Sets a size that is still 0: the median short side of the images up to 64 pixels, else 224. All ranks must call it together.
/// Throws UsageError when the encoder does not take images of that size.
void resolve_size(EvaluatedModel& model, const data::Dataset& images, const EvaluationOptions& options,
                  const ssl::Group& group);

/// Throws MismatchError (93) on every rank when ranks have other settings or other weights.
void require_same_settings(const ssl::Group& group, const OptionTable& settings, const EvaluatedModel& model);

/// The training and the test images of a measurement.
struct MeasuredSets {
  std::shared_ptr<const data::Dataset> train, test;
  eval::SharedImages shared;  ///< test images that are training images too; searched for on rank 0 only
};

/// Opens both on all ranks (open_on_all_ranks) and checks them before any feature is computed. Throws UsageError when one of them has
/// images without a label, or when no test image is of a training class; adds what makes the result doubtful to `warnings`.
MeasuredSets open_sets(const EvaluationOptions& options, const ssl::Group& group, Warnings& warnings);

/// Opens the split that a command needs, of --train or --test, or of --data, on all ranks. Throws UsageError when neither is given.
std::shared_ptr<const data::Dataset> open_split(const EvaluationOptions& options, data::Split split,
                                                const ssl::Group& group);

/// How images become features: the same for training and test images, in every protocol.
eval::FeatureOptions feature_options(const EvaluatedModel& model, const EvaluationOptions& options, at::Device device);

/// What knn, linear and embed work with once ranks have met.
struct Evaluation {
  EvaluationOptions& options;
  at::Device device;
  std::shared_ptr<const ssl::Group> group;
  Warnings warnings;
  EvaluatedModel model;

  bool is_rank0() const { return group->rank() == 0; }
  /// Settles size and precision, which depend on the images and on all ranks; every rank must call it.
  void prepare(const data::Dataset& images);
  /// Features of a data set by the model, or its pixels.
  eval::Features features(std::shared_ptr<const data::Dataset> dataset);
  /// Adds the model, the size and the seed to a result.
  void describe(nlohmann::json& result) const;
};

/// Joins the ranks, loads the model and compares settings. `require_outputs` checks on rank 0 that results can be written.
Evaluation start_evaluation(const std::string& command, EvaluationOptions& options, const CommandLine& line,
                            const OptionTable& fields, const std::function<void()>& require_outputs);

/// A command that measures by one of its protocols (eval/protocols.h), `summary` and `examples` being those of its --help.
int measure(const std::string& command, const std::string& summary, const std::string& examples,
            const std::vector<std::string>& arguments);

}  // namespace unlabel::launch
