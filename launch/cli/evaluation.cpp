#include <unlabel/augment/error.h>
#include <unlabel/augment/json_text.h>
#include <unlabel/augment/transforms/presets.h>
#include <unlabel/data/formats.h>
#include <unlabel/data/io/files.h>
#include <unlabel/eval/report/report.h>
#include <unlabel/launch/checkpoint/checkpoint.h>
#include <unlabel/launch/cli/evaluation.h>
#include <unlabel/launch/distributed/shared_data.h>
#include <unlabel/launch/pretrain/initial_weights.h>
#include <unlabel/launch/pretrain/pretrain_options.h>
#include <unlabel/launch/pretrain/run_record.h>
#include <unlabel/launch/run/command_output.h>
#include <unlabel/launch/training/precision.h>
#include <unlabel/ssl/weights/weights.h>

#include <torch/types.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace unlabel::launch {

namespace {

const std::vector<double> kImageNetMean{0.485, 0.456, 0.406}, kImageNetStd{0.229, 0.224, 0.225};
constexpr std::int64_t kUsualSize = 224, kSmallImage = 64, kLargestSize = 4096;

/// What a file of weights says of its encoder's images. Files of others may hold anything under these names: what cannot be read is
/// refused, so that no other value is taken silently.
class Metadata {
 public:
  Metadata(const std::map<std::string, std::string>& values, std::string source)
      : values_(values), source_(std::move(source)) {}

  std::optional<std::int64_t> size() const {
    const auto* text = find("size");
    if (!text) return std::nullopt;
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (error != std::errc() || end != text->data() + text->size() || value < 1 || value > kLargestSize)
      refuse("size", *text, concat("a number of pixels from 1 to ", kLargestSize), "give --size");
    return value;
  }

  /// "[0.5, 0.4, 0.3]" or "0.5,0.4,0.3".
  std::optional<std::vector<double>> numbers(const std::string& name) const {
    const auto* text = find(name);
    if (!text) return std::nullopt;
    const auto first = text->find_first_not_of(' ');
    const bool list = first != std::string::npos && (*text)[first] == '[';
    const auto json = try_parse_json(list ? *text : "[" + *text + "]").value_or(nullptr);
    const auto is_number = [](const auto& item) {
      return item.is_number() && std::isfinite(item.template get<double>());
    };
    if (!json.is_array() || json.empty() || json.size() > 16 || !std::all_of(json.begin(), json.end(), is_number))
      refuse(name, *text, "a list of numbers", "give --" + name);
    return json.get<std::vector<double>>();
  }

  augment::DecodeOptions decode() const {
    augment::DecodeOptions options;
    if (const auto* text = find("exif_orientation")) {  // of files without the whole section
      if (*text != "true" && *text != "false") refuse("exif_orientation", *text, "true or false", "mend the file");
      options.exif_orientation = *text == "true";
    }
    if (const auto* text = find("decode")) {
      const auto json = try_parse_json(*text).value_or(nullptr);
      if (!json.is_object()) refuse("decode", *text, "a section of options", "mend the file");
      augment::table(options).from_json(json, source_ + ": its metadata's decode");
    }
    return options;
  }

  /// Throws when one of mean and std is there without the other.
  void require_pair(bool mean_given, bool std_given) const {
    const bool mean = find("mean"), std = find("std");
    if (mean != std && !(mean ? std_given : mean_given))
      throw UsageError(source_, ": its metadata has ", mean ? "a mean and no std" : "a std and no mean", "; give --",
                       mean ? "std" : "mean");
  }

 private:
  const std::string* find(const std::string& name) const {
    const auto found = values_.find(name);
    return found == values_.end() ? nullptr : &found->second;
  }

  [[noreturn]] void refuse(const std::string& name, const std::string& text, const std::string& wanted,
                           const std::string& advice) const {
    throw UsageError(source_, ": its metadata says ", name, " '", shortened(text), "', which is not ", wanted, "; ",
                     advice);
  }

  const std::map<std::string, std::string>& values_;
  std::string source_;
};

/// An encoder as a file of weights or a run holds it: its newest checkpoint while the run is not finished. `asked`: what the command line
/// gives of it.
ssl::LoadedEncoder load(const std::string& path, const ssl::EncoderOptions& otherwise, const nlohmann::json& asked,
                        std::string& from) {
  const auto known = encoder_options_at(path, "--checkpoint");
  if (known)
    if (const auto text = contradiction(asked, *known, path); !text.empty())
      throw MismatchError(text, "; leave it out: the weights decide");
  const auto place = find_encoder(path);
  if (!place.file.empty()) {
    from = place.file;
    return ssl::read_encoder(from, known || asked.empty() ? std::nullopt : std::optional(otherwise));
  }
  const auto& checkpoints = place.checkpoints;
  const auto checkpoint = read_checkpoint(checkpoints);
  // What the method itself had may be unknown here: it may be one of somebody's own.
  auto needed = nlohmann::json::object();
  for (const char* name : {"method", "encoder", "augment", "decode"})
    if (checkpoint.training["options"].contains(name)) needed[name] = checkpoint.training["options"][name];
  PretrainOptions options;
  table(options).from_json(needed, checkpoints);
  ssl::LoadedEncoder loaded;
  loaded.options = options.encoder;
  loaded.encoder = ssl::make_encoder(loaded.options);
  loaded.report = fill_encoder(*loaded.encoder, loaded.options, checkpoint, checkpoints, /*partial=*/false);
  loaded.metadata = encoder_metadata(options);
  from = concat(checkpoints, " at step ", checkpoint.iteration);
  return loaded;
}

}  // namespace

std::vector<NamedFile> files_of(const EvaluationOptions& options) {
  return {{"--checkpoint", options.checkpoint},
          data_folder("--data", options.data),
          data_folder("--train", options.train),
          data_folder("--test", options.test)};
}

OptionTable table(EvaluationOptions& o) {
  OptionTable t;
  t.add("checkpoint", o.checkpoint, "what to measure: a run folder, or a file of weights (.safetensors)");
  t.add("untrained", o.untrained,
        "measure random weights instead (of --encoder.arch, or of the checkpoint's architecture)");
  t.add("pixels", o.pixels, "measure the raw pixels instead, centered");
  t.add("data", o.data, "labeled images: a folder with train and test (or val) inside, or " + data::format_prefixes());
  t.add("train", o.train, "the training images, instead of those in --data");
  t.add("test", o.test, "the test images, instead of those in --data");
  t.add("size", o.size, "side of the images that the encoder sees; without: the checkpoint's");
  t.add("mean", o.mean, "of the normalization, one a channel; without: the checkpoint's");
  t.add("std", o.std, "of the normalization, one a channel; without: the checkpoint's");
  t.add("exif_orientation", o.exif_orientation, "the same as --decode.exif-orientation");
  t.add("seed", o.seed, "of untrained weights and of the probe");
  t.add("device", o.device, "auto, cpu, cuda or cuda:N");
  t.add("backend", o.backend, "between ranks: auto, nccl or gloo");
  t.add("timeout", o.timeout, "seconds that ranks wait for each other");
  t.add("json", o.json, "write the result to this file; -: to stdout");
  t.section("encoder", ssl::table(o.encoder));
  // Shown without values: those that are not given are the checkpoint's.
  t.section("decode", augment::table(o.decode));
  t.section("features", without(eval::table(o.features), {"device"}));
  return t;
}

augment::MultiCrop EvaluatedModel::view() const {
  augment::PresetOptions options;
  options.global_size = static_cast<int>(size);
  options.mean = mean;
  options.std = std;
  return augment::preset("eval", options);
}

EvaluatedModel load_model(const EvaluationOptions& options, const CommandLine& line, at::Device device) {
  require_precision(options.features.precision);
  if (options.untrained && options.pixels) throw UsageError("--untrained and --pixels exclude each other");
  if (options.checkpoint.empty() && !options.untrained && !options.pixels)
    throw UsageError("what is to be measured? --checkpoint RUN|FILE, or --untrained, or --pixels");
  EvaluatedModel subject;
  ssl::LoadedEncoder loaded;
  std::string from;
  auto architecture = options.encoder;
  if (!options.checkpoint.empty()) {
    loaded = load(options.checkpoint, options.encoder, in_section(line.values, "encoder"), from);
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
    subject.description = "raw pixels, centered";
  }

  const Metadata metadata(loaded.metadata, from);
  if (options.size) {
    subject.size = *options.size;
  } else if (const auto size = metadata.size()) {
    subject.size = *size;
  }
  if (options.size && (subject.size < 1 || subject.size > kLargestSize))
    throw UsageError("--size must be from 1 to ", kLargestSize, ", and is ", subject.size);
  if (subject.encoder) {
    const auto& images = ssl::image_encoder(*subject.encoder);
    if (subject.size > 0) images.check_size(subject.size, subject.size);
  }

  if (!options.mean || !options.std) metadata.require_pair(options.mean.has_value(), options.std.has_value());
  subject.mean = options.mean ? *options.mean : metadata.numbers("mean").value_or(kImageNetMean);
  subject.std = options.std ? *options.std : metadata.numbers("std").value_or(kImageNetStd);
  if (options.pixels) subject.mean = {0, 0, 0}, subject.std = {1, 1, 1};
  if (subject.mean.size() != subject.std.size())
    throw UsageError("the normalization has ", subject.mean.size(), " means and ", subject.std.size(),
                     " deviations; give one a channel of both, --mean and --std");
  for (const auto std : subject.std)
    if (!(std > 0 && std::isfinite(std)))
      throw UsageError("the deviations of the normalization must be above 0, and one is ", std, "; give --std");
  if (subject.size > 0) subject.view();  // refuses what cannot be a view of an image
  if (constexpr int kColors = 3; subject.encoder && architecture.in_channels != kColors)
    throw UsageError(subject.description, " takes images of ", architecture.in_channels,
                     architecture.in_channels == 1 ? " channel" : " channels", ", and views have ", kColors);

  subject.decode = metadata.decode();
  augment::table(subject.decode).from_json(in_section(line.values, "decode"), "--decode");
  if (options.exif_orientation) {
    if (line.has("decode.exif_orientation") && options.decode.exif_orientation != *options.exif_orientation)
      throw UsageError("--exif-orientation and --decode.exif-orientation contradict each other; give one of them");
    subject.decode.exif_orientation = *options.exif_orientation;
  }
  if (subject.encoder) subject.encoder->to(device);
  return subject;
}

void resolve_size(EvaluatedModel& subject, const data::Dataset& images, const EvaluationOptions& options,
                  const ssl::Group& group) {
  if (subject.size > 0) return;
  const int side = median_short_side_on_all_ranks(images, group, options.timeout);
  subject.size = side <= kSmallImage ? side : kUsualSize;
  if (subject.encoder) ssl::image_encoder(*subject.encoder).check_size(subject.size, subject.size);
  subject.view();
}

void describe(const EvaluatedModel& subject, const EvaluationOptions& options, nlohmann::json& result) {
  result["subject"] = subject.description;
  result["size"] = subject.size;
  result["seed"] = options.seed;
}

MeasuredSets open_sets(const EvaluationOptions& options, const ssl::Group& group, Warnings& warnings) {
  MeasuredSets sets;
  sets.train = open_split(options, data::Split::kTrain, group);
  sets.test = eval::labeled_by_folder(open_split(options, data::Split::kTest, group), sets.train->class_names());
  for (const auto* set : {sets.train.get(), sets.test.get()})
    for (const auto& note : set->notes()) warnings.add(note);
  const auto train_labels = eval::labels_of(*sets.train), test_labels = eval::labels_of(*sets.test);
  eval::require_labeled(train_labels, test_labels);
  const auto unknown = eval::make_targets(train_labels, test_labels).unknown;
  if (unknown.images > 0) warnings.add(eval::unknown_classes(unknown, sets.test->size()));
  run_on_first_rank(group, options.timeout, [&] { sets.shared = eval::find_shared_images(*sets.train, *sets.test); });
  if (const auto doubt = sets.shared.sentence(); !doubt.empty()) warnings.add(doubt);
  return sets;
}

void report(const EvaluatedModel& subject, const EvaluationOptions& options, const MeasuredSets& sets,
            const std::string& text, nlohmann::json result, const Warnings& warnings) {
  for (const auto& [name, set] : {std::pair{"train", sets.train.get()}, {"test", sets.test.get()}}) {
    result["data"][name] = set->description();
    print_message(options.json, printable(concat(name, ": ", set->description())));
  }
  print_line(options.json, concat(subject.description, ", ", subject.size, " px"));
  const auto& shared = sets.shared;
  const auto of_training = shared.shared == 0 ? std::string()
                                              : concat("; ", shared.shared, " of ", shared.compared,
                                                       " compared test images are training images");
  print_line(options.json, text + of_training);
  result["counts"]["compared"] = shared.compared;
  result["counts"]["shared"] = shared.shared;
  describe(subject, options, result);
  write_result(options.json, std::move(result), warnings.sentences());
}

void agree_on_settings(const ssl::Group& group, const OptionTable& settings, const EvaluatedModel& subject) {
  if (group.world_size() == 1) return;
  auto json = settings.to_json();
  // Where each machine finds and puts things, and how fast it is.
  for (const char* own : {"checkpoint", "data", "train", "test", "out", "json", "device", "backend", "timeout"})
    json.erase(own);
  json["features"].erase("threads");
  auto decode = subject.decode;
  json["images"] = {{"size", subject.size}, {"mean", subject.mean}, {"std", subject.std}};
  json["decode"] = augment::table(decode).to_json();
  data::Fingerprint weights;
  if (subject.encoder)
    for (const auto& [name, tensor] : ssl::state_of(*subject.encoder)) {
      const auto bytes = tensor.detach().cpu().contiguous();
      weights.add(name);
      weights.add(std::string_view(static_cast<const char*>(bytes.const_data_ptr()), bytes.nbytes()));
    }
  agree_on(group, {{"other settings", json, "start all ranks with the same command"},
                   {"other weights", weights.value(), "give all machines the same file of weights"}});
}

std::shared_ptr<const data::Dataset> open_split(const EvaluationOptions& options, data::Split split,
                                                const ssl::Group& group) {
  const bool train = split == data::Split::kTrain;
  const std::string& own = train ? options.train : options.test;
  ssl::run_on_all_ranks(group, [&] {
    if (own.empty() && options.data.empty())
      throw UsageError(train ? "where are the training images? --data DIR with train inside, or --train DIR"
                             : "where are the test images? --data DIR with test or val inside, or --test DIR");
  });
  if (!own.empty())
    return open_on_all_ranks(
        own, [&] { return train ? data::open_dataset(own, split) : data::open_test_images(own); }, group,
        options.timeout);
  return open_on_all_ranks(options.data, split, group, options.timeout);
}

eval::FeatureOptions feature_options(const EvaluatedModel& subject, const EvaluationOptions& options,
                                     at::Device device) {
  auto features = options.features;
  features.device = device.str();
  features.decode = subject.decode;
  features.patience = data::patience_of(std::chrono::seconds(options.timeout));
  return features;
}

eval::Features model_features(const EvaluatedModel& subject, std::shared_ptr<const data::Dataset> dataset,
                              const EvaluationOptions& options, at::Device device, const ssl::Group& group,
                              Warnings& warnings) {
  const auto how = feature_options(subject, options, device);
  auto features = subject.encoder
                      ? eval::extract_features(*subject.encoder, std::move(dataset), subject.view(), how, group)
                      : eval::pixel_features(std::move(dataset), subject.view(), how, group);
  if (const auto warning = augment::range_warning(features.decoded); !warning.empty()) warnings.add(warning);
  return features;
}

void settle_feature_precision(EvaluationOptions& options, at::Device device, const ssl::Group& group,
                              Warnings& warnings) {
  const auto note = resolve_precision(group, device, options.features.precision);
  if (group.rank() != 0) return;
  if (!note.empty()) std::fprintf(stderr, "%s\n", note.c_str());
  if (const auto slow = slow_precision_warning(options.features.precision, device); !slow.empty()) warnings.add(slow);
}

}  // namespace unlabel::launch
