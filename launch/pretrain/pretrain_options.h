#pragma once

#include <unlabel/augment/transforms/presets.h>
#include <unlabel/data/dataset.h>
#include <unlabel/data/sample_transform.h>
#include <unlabel/data/sampler.h>
#include <unlabel/launch/checkpoint/save_interval.h>
#include <unlabel/launch/command_line.h>
#include <unlabel/ssl/group.h>
#include <unlabel/ssl/methods.h>
#include <unlabel/ssl/models/encoder.h>
#include <unlabel/ssl/optim/optimizer.h>
#include <unlabel/ssl/optim/schedule.h>
#include <unlabel/ssl/planning/planner.h>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace unlabel::launch {

/// When state is saved.
struct CheckpointOptions {
  SaveInterval every;
  int keep = 2;                 ///< the N newest are kept
  std::int64_t keep_every = 0;  ///< and, forever, those whose iteration is a multiple of N; 0: none
};

/// When a run gives up.
struct HealthOptions {
  std::int64_t nonfinite_budget = 10;  ///< skipped iterations (loss or gradients not finite) tolerated in any 100
  /// Fraction of broken images in the data set that ends the run; not given: see BrokenImages.
  std::optional<double> broken_budget;
};

/// kNN accuracy while pretraining, on a labeled data set with a test split.
struct OnlineKnnOptions {
  std::int64_t every = 0;             ///< epochs between measurements; 0: none
  std::string protocol = "dino";      ///< as `unlabel knn --protocol`
  std::int64_t train_images = 10000;  ///< images of the training split at most, drawn once
  std::int64_t test_images = 2000;    ///< images of the test split at most
};

/// Everything that decides a pretraining run. Sections come from a recipe, from the planner, or from the command line.
struct PretrainOptions {
  std::string method;  ///< one of ssl::method_names()
  std::string data;    ///< a data set, as data::open_dataset takes it
  std::string out;     ///< the run folder
  std::string recipe;  ///< a recipe's name or file; none: settings are planned from the data
  std::string init;    ///< start from these weights (safetensors), or from those of a run folder or its checkpoints
  bool init_partial =
      false;  ///< load the tensors of `init` that fit, and leave the others as initialized; else all must fit
  std::int64_t epochs = 100;              ///< passes over the data; the schedules span them
  std::optional<std::int64_t> max_steps;  ///< stop after this many iterations
  std::int64_t batch_size = 256;          ///< images per iteration, over all ranks
  std::int64_t micro_batch =
      0;  ///< images per forward pass on a rank; fewer than its share: gradients are accumulated; 0: all
  std::string precision = "float32";  ///< float32, bf16, fp16 (with loss scaling), float64, or auto (native_precision)
  bool channels_last = true;          ///< memory layout of images and convolutions: faster on most hardware
  std::uint64_t seed = 0;             ///< of initial weights, sample order and views
  int threads = -1;                   ///< loader threads; -1: one per core of this rank's share; 0: none
  std::string device = "auto";        ///< auto, cpu, cuda, cuda:N
  std::string backend = "auto";       ///< auto, nccl, gloo
  int timeout = 600;                  ///< seconds that ranks wait for each other in a training step
  int init_timeout = 600;             ///< and in all else: set-up, saves, passes over the data, measurements
  /// Images that share batch statistics, over as many ranks as needed; 0: the whole (micro-)batch; 1: each rank by itself.
  std::int64_t batch_norm_images = 0;
  CheckpointOptions checkpoint;
  HealthOptions health;
  OnlineKnnOptions knn;
  ssl::EncoderOptions encoder;
  ssl::MethodOptions methods;  ///< a section for each method
  ssl::OptimizerOptions optimizer;
  ssl::ScheduleOptions schedule;
  augment::DecodeOptions decode;
  std::string augment_preset = "swav";
  augment::PresetOptions augment;
};
OptionTable table(PretrainOptions& options);

/// What one source says of the settings.
struct OptionLayer {
  std::string name;  ///< "command line", "recipe cifar10_small", "plan", "checkpoint", "weights of --init" or "default"
  nlohmann::json values;  ///< a flat object of the fields' dotted names
};

/// The layer that decides a setting: the last that has it. The first, of the defaults, has all of them.
const OptionLayer& deciding_layer(const std::vector<OptionLayer>& layers, const std::string& setting);

/// The options of a run and where they come from.
struct ResolvedOptions {
  PretrainOptions options;
  std::vector<OptionLayer> layers;               ///< what `options` were read from; later ones win
  std::shared_ptr<const data::Dataset> dataset;  ///< options.data, opened: listing a large folder takes a while
  std::shared_ptr<const ssl::Group> group;       ///< the ranks, after rendezvous
  std::vector<ssl::PlannedSetting> choices;      ///< the planner's; none for a recipe
  std::vector<std::string> warnings;             ///< settings that are unlikely to work
};

/// What options are resolved for.
enum class Purpose {
  kRun,
  kDryRun,  ///< only to be shown: --out may be missing
};

/// Joins the ranks of a run; it may read device, backend and init_timeout.
using Rendezvous = std::function<std::shared_ptr<const ssl::Group>(const PretrainOptions&)>;

/// Merges the layers, each of which wins over those before it: the defaults; the recipe or, without one, the planner's settings for the
/// data at hand; the network that the weights of --init have; what the run in --out began with; the command line.
/// A missing method, --data or --out, and options of another method, are refused before ranks meet. The recipe is read before too, as it
/// may say how they meet; the checkpoint, weights and data after. What is wrong with any of these on one rank is an error on all. Throws
/// UsageError for a value of the wrong type, naming its layer, and for options that contradict each other.
ResolvedOptions resolve_options(
    const CommandLine& line, Purpose purpose = Purpose::kRun,
    const Rendezvous& rendezvous = [](const PretrainOptions&) { return ssl::single_process(); });

/// The options as config.json holds them.
nlohmann::json config_json(const PretrainOptions& options);

/// Whether a run may be continued with another value of an option: one that does not change what is learned.
bool is_runtime_option(const std::string& name);

/// Images per forward pass on a rank. Throws UsageError when they do not divide its share of a batch.
std::int64_t micro_batch_size(const PretrainOptions& options, const data::Sampler& sampler, int world_size);

/// The views that these options make of each image.
augment::MultiCrop make_views(const PretrainOptions& options);

/// What the run makes of each sample: the method's own transform, or views of images.
std::shared_ptr<const data::SampleTransform> make_transform(const PretrainOptions& options);

}  // namespace unlabel::launch
