#include <unlabel/augment/error.h>
#include <unlabel/augment/presets.h>
#include <unlabel/data/files.h>
#include <unlabel/launch/checkpoint.h>
#include <unlabel/launch/command_output.h>
#include <unlabel/launch/evaluation.h>
#include <unlabel/launch/precision.h>
#include <unlabel/launch/pretrain_options.h>
#include <unlabel/launch/training_state.h>
#include <unlabel/ssl/weights.h>

#include <torch/types.h>

#include <cstdio>

namespace unlabel::launch {

namespace {

const std::vector<double> kImageNetMean{0.485, 0.456, 0.406}, kImageNetStd{0.229, 0.224, 0.225};
constexpr std::int64_t kUsualSize = 224, kSmallImage = 64;

std::optional<std::vector<double>> numbers(const std::map<std::string, std::string>& metadata,
                                           const std::string& name) {
  const auto found = metadata.find(name);
  if (found == metadata.end()) return std::nullopt;
  const auto json = nlohmann::json::parse(found->second, nullptr, false);
  if (!json.is_array() || json.empty() || json.size() > 16) return std::nullopt;
  for (const auto& item : json)
    if (!item.is_number()) return std::nullopt;
  return json.get<std::vector<double>>();
}

/// An encoder as a file of weights or a run holds it: its newest checkpoint while the run is not finished.
ssl::LoadedEncoder load(const std::string& path, const std::optional<ssl::EncoderOptions>& wanted, std::string& from) {
  if (!data::exists(path)) throw UsageError("--checkpoint ", path, ": there is no such file or run folder");
  const auto place = find_encoder(path);
  if (!place.file.empty()) {
    from = place.file;
    return ssl::read_encoder(from, wanted);
  }
  const auto& checkpoints = place.checkpoints;
  if (checkpoints.empty())
    throw UsageError("--checkpoint ", path, ": neither encoder.safetensors nor a checkpoint is there yet");
  const auto checkpoint = read_checkpoint(checkpoints);
  if (!checkpoint.training.contains("options")) throw Error(checkpoints, ": training.json holds no options");
  // What the method itself had may be unknown here: it may be one of somebody's own.
  auto needed = nlohmann::json::object();
  for (const char* name : {"method", "encoder", "augment", "decode"})
    if (checkpoint.training["options"].contains(name)) needed[name] = checkpoint.training["options"][name];
  PretrainOptions options;
  table(options).from_json(needed, checkpoints);
  ssl::LoadedEncoder loaded;
  loaded.options = wanted.value_or(options.encoder);
  loaded.encoder = ssl::make_encoder(loaded.options);
  loaded.report = ssl::load_state(*loaded.encoder, checkpoint.tensors, {"method.backbone.", /*strict=*/false});
  if (!loaded.report.complete())
    throw MismatchError(checkpoints, " does not fill a ", loaded.options.arch, " of width ", loaded.options.width, ": ",
                        loaded.report.summary());
  loaded.metadata = encoder_metadata(options);
  from = concat(checkpoints, " at step ", checkpoint.iteration);
  return loaded;
}

}  // namespace

OptionTable table(EvaluationOptions& o) {
  OptionTable t;
  t.add("checkpoint", o.checkpoint, "what to measure: a run folder, or a file of weights (.safetensors)");
  t.add("untrained", o.untrained,
        "measure random weights instead (of --encoder.arch, or of the checkpoint's architecture)");
  t.add("pixels", o.pixels, "measure the raw pixels instead, centred");
  t.add("data", o.data,
        "labelled images: a folder with train and test (or val) inside, or cifar10:DIR, idx:DIR, shards:DIR");
  t.add("train", o.train, "the training images, instead of those in --data");
  t.add("test", o.test, "the test images, instead of those in --data");
  t.add("size", o.size, "side of the images that the encoder sees; without: the checkpoint's");
  t.add("mean", o.mean, "of the normalisation, one a channel; without: the checkpoint's");
  t.add("std", o.std, "of the normalisation, one a channel; without: the checkpoint's");
  t.add("exif_orientation", o.exif_orientation,
        "turn JPEGs upright by their EXIF orientation; without: as the checkpoint was trained");
  t.add("seed", o.seed, "of untrained weights and of the probe");
  t.add("device", o.device, "auto, cpu, cuda or cuda:N");
  t.add("backend", o.backend, "between ranks: auto, nccl or gloo");
  t.add("timeout", o.timeout, "seconds that ranks wait for each other");
  t.add("json", o.json, "write the result to this file; -: to stdout");
  t.section("encoder", ssl::table(o.encoder));
  t.section("features", without(eval::table(o.features), {"device"}));
  return t;
}

augment::MultiCrop Subject::view() const {
  augment::PresetOptions options;
  options.global_size = static_cast<int>(size);
  options.mean = mean;
  options.std = std;
  return augment::preset("eval", options);
}

Subject make_subject(const EvaluationOptions& options, bool encoder_given, at::Device device) {
  require_output("--json", options.json);
  require_precision(options.features.precision);
  if (options.untrained && options.pixels) throw UsageError("--untrained and --pixels exclude each other");
  if (options.checkpoint.empty() && !options.untrained && !options.pixels)
    throw UsageError("what is to be measured? --checkpoint RUN|FILE, or --untrained, or --pixels");
  Subject subject;
  std::map<std::string, std::string> metadata;
  auto architecture = options.encoder;
  if (!options.checkpoint.empty()) {
    std::string from;
    auto loaded = load(options.checkpoint, encoder_given ? std::optional(options.encoder) : std::nullopt, from);
    metadata = loaded.metadata;
    architecture = loaded.options;
    subject.encoder = loaded.encoder;
    subject.description = concat(from, " (", architecture.arch, ", width ", architecture.width, ")");
  }
  if (options.untrained) {
    torch::manual_seed(options.seed);
    subject.encoder = ssl::make_encoder(architecture);
    subject.description =
        concat("untrained ", architecture.arch, ", width ", architecture.width, ", seed ", options.seed);
  }
  if (options.pixels) {
    subject.encoder = nullptr;
    subject.description = "raw pixels, centred";
  }

  if (options.size) {
    subject.size = *options.size;
  } else if (const auto found = metadata.find("size"); found != metadata.end()) {
    subject.size = std::atoll(found->second.c_str());
  } else {
    const auto sizes = data::survey_sizes(
        *open_split(options, options.test.empty() && options.data.empty() ? data::Split::kTrain : data::Split::kTest));
    subject.size = sizes.median_short_side <= kSmallImage ? sizes.median_short_side : kUsualSize;
  }
  if (subject.size < 1 || subject.size > 4096) throw UsageError("--size must be from 1 to 4096, and is ", subject.size);
  subject.mean = options.mean.value_or(numbers(metadata, "mean").value_or(kImageNetMean));
  subject.std = options.std.value_or(numbers(metadata, "std").value_or(kImageNetStd));
  subject.decode.exif_orientation = options.exif_orientation.value_or(metadata.contains("exif_orientation") &&
                                                                      metadata["exif_orientation"] == "true");
  if (options.pixels) subject.mean = {0, 0, 0}, subject.std = {1, 1, 1};
  if (subject.encoder) subject.encoder->to(device);
  return subject;
}

bool encoder_given(const CommandLine& line) {
  return std::any_of(line.given.begin(), line.given.end(),
                     [](const auto& item) { return item.first.starts_with("encoder."); });
}

void describe(const Subject& subject, const EvaluationOptions& options, nlohmann::json& result) {
  result["subject"] = subject.description;
  result["size"] = subject.size;
  result["seed"] = options.seed;
}

void report(const Subject& subject, const EvaluationOptions& options, const std::string& text, nlohmann::json result,
            const Warnings& warnings) {
  print_line(options.json, concat(subject.description, ", ", subject.size, " px"));
  print_line(options.json, text);
  describe(subject, options, result);
  write_result(options.json, std::move(result), warnings.sentences());
}

std::shared_ptr<const data::Dataset> open_split(const EvaluationOptions& options, data::Split split) {
  const bool train = split == data::Split::kTrain;
  const std::string& own = train ? options.train : options.test;
  if (!own.empty()) return train ? data::open_dataset(own, split) : data::open_test_images(own);
  if (options.data.empty())
    throw UsageError(train ? "where are the training images? --data DIR with train inside, or --train DIR"
                           : "where are the test images? --data DIR with test or val inside, or --test DIR");
  return data::open_dataset(options.data, split);
}

eval::Features subject_features(const Subject& subject, std::shared_ptr<const data::Dataset> dataset,
                                const EvaluationOptions& options, at::Device device, const ssl::Group& group) {
  auto features = options.features;
  features.device = device.str();
  features.decode = subject.decode;
  features.patience = data::patience_of(std::chrono::seconds(options.timeout));
  return subject.encoder ? eval::extract_features(*subject.encoder, std::move(dataset), subject.view(), features, group)
                         : eval::pixel_features(std::move(dataset), subject.view(), features, group);
}

void settle_feature_precision(EvaluationOptions& options, at::Device device, const ssl::Group& group,
                              Warnings& warnings) {
  const auto note = settle_precision(group, device, options.features.precision);
  if (group.rank() != 0) return;
  if (!note.empty()) std::fprintf(stderr, "%s\n", note.c_str());
  if (const auto slow = slow_precision_warning(options.features.precision, device); !slow.empty()) warnings.add(slow);
}

}  // namespace unlabel::launch
