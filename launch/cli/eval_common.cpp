#include <unlabel/augment/error.h>
#include <unlabel/augment/json_text.h>
#include <unlabel/augment/transforms/presets.h>
#include <unlabel/data/formats.h>
#include <unlabel/data/io/files.h>
#include <unlabel/eval/protocols.h>
#include <unlabel/launch/checkpoint/checkpoint.h>
#include <unlabel/launch/cli/eval_common.h>
#include <unlabel/launch/distributed/main_setup.h>
#include <unlabel/launch/distributed/shared_data.h>
#include <unlabel/launch/pretrain/initial_weights.h>
#include <unlabel/launch/pretrain/pretrain_options.h>
#include <unlabel/launch/pretrain/run_record.h>
#include <unlabel/launch/training/precision.h>
#include <unlabel/ssl/weights/weights.h>

#include <torch/types.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <map>

namespace unlabel::launch {

namespace {

const std::vector<double> kImageNetMean{0.485, 0.456, 0.406}, kImageNetStd{0.229, 0.224, 0.225};
constexpr std::int64_t kUsualSize = 224, kSmallImage = 64, kLargestSize = 4096;

/// The metadata of a file of weights about its encoder's input. Files of other programs may hold anything under these names: a value that
/// cannot be parsed is an error, so that no default silently replaces it.
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
      if (*text != "true" && *text != "false") refuse("exif_orientation", *text, "true or false", "correct the file");
      options.exif_orientation = *text == "true";
    }
    if (const auto* text = find("decode")) {
      const auto json = try_parse_json(*text).value_or(nullptr);
      if (!json.is_object()) refuse("decode", *text, "a section of options", "correct the file");
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

/// Reads the encoder of a file of weights or of a run: of its newest checkpoint while the run is not finished. `given`: the --encoder
/// options on the command line, `options`: these and defaults; `from`: set to where the weights are, for messages.
ssl::LoadedEncoder load(const std::string& path, const ssl::EncoderOptions& options, const nlohmann::json& given,
                        std::string& from) {
  const auto known = encoder_options_at(path, "--checkpoint");
  if (known)
    if (const auto text = contradiction(given, *known, path); !text.empty())
      throw MismatchError(text, "; leave it out: the weights decide");
  const auto place = find_encoder(path);
  if (!place.file.empty()) {
    from = place.file;
    return ssl::read_encoder(from, known || given.empty() ? std::nullopt : std::optional(options));
  }
  const auto& checkpoints = place.checkpoints;
  const auto checkpoint = read_checkpoint(checkpoints);
  // The method's own options may be unknown here: it may be a method of another program.
  auto needed = nlohmann::json::object();
  for (const char* name : {"method", "encoder", "augment", "decode"})
    if (checkpoint.training["options"].contains(name)) needed[name] = checkpoint.training["options"][name];
  PretrainOptions trained;
  table(trained).from_json(needed, checkpoints);
  ssl::LoadedEncoder loaded;
  loaded.options = trained.encoder;
  loaded.encoder = ssl::make_encoder(loaded.options);
  loaded.report = load_encoder_weights(*loaded.encoder, loaded.options, checkpoint, checkpoints, /*partial=*/false);
  loaded.metadata = encoder_metadata(trained);
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
  t.add("checkpoint", o.checkpoint,
        "the model: a run folder (its encoder.safetensors, before the end of the run its newest checkpoint), or a file "
        "of weights (.safetensors)");
  t.add("untrained", o.untrained,
        "take random weights instead; the architecture is the checkpoint's, or without one that of --encoder");
  t.add("pixels", o.pixels,
        "take the pixels themselves as features instead; knn and linear subtract the mean of the training images");
  t.add("data", o.data,
        "images: a folder with train and test (or val) inside, or with the format named: " + data::format_prefixes());
  t.add("train", o.train,
        "the training images, instead of those in --data: this folder's train, or without one all of the folder");
  t.add("test", o.test,
        "the test images, instead of those in --data: this folder's test or val, or without one all of the folder");
  t.add(
      "size", o.size,
      "side of the encoder's input images; default: the checkpoint's, without one the images' median short side if it "
      "is up to 64 pixels, else 224");
  t.add("mean", o.mean,
        "mean of the normalization, for each channel; default: the checkpoint's, without one ImageNet's");
  t.add("std", o.std,
        "standard deviation of the normalization, for each channel; default: the checkpoint's, without one ImageNet's");
  t.add("exif_orientation", o.exif_orientation, "the same as --decode.exif-orientation");
  t.add("seed", o.seed, "seed of random weights, and of the training of linear --protocol swav");
  t.add("device", o.device, "auto, cpu, cuda or cuda:N");
  t.add("backend", o.backend, "communication between ranks: auto, nccl or gloo");
  t.add("timeout", o.timeout, "seconds that ranks wait for each other");
  t.add("json", o.json, "write the result to this file; -: to stdout");
  t.section("encoder", ssl::table(o.encoder));
  auto decode = augment::table(o.decode);
  for (auto& field : decode.fields()) {
    field.help += "; default: the checkpoint's";
    field.default_shown = false;
  }
  t.section("decode", std::move(decode));
  t.section("features", eval::table(o.features));
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
    throw UsageError("no model: give --checkpoint RUN|FILE, or --untrained, or --pixels");
  EvaluatedModel model;
  ssl::LoadedEncoder loaded;
  std::string from;
  auto architecture = options.encoder;
  if (!options.checkpoint.empty()) {
    loaded = load(options.checkpoint, options.encoder, in_section(line.values, "encoder"), from);
    architecture = loaded.options;
    model.encoder = loaded.encoder;
    model.description = concat(from, " (", architecture.arch, ", width ", architecture.width, ")");
  }
  if (options.untrained) {
    torch::manual_seed(options.seed);
    model.encoder = ssl::make_encoder(architecture);
    model.description =
        concat("untrained ", architecture.arch, ", width ", architecture.width, ", seed ", options.seed);
  }
  if (options.pixels) {
    model.encoder = nullptr;
    model.description = "raw pixels, centered";
  }

  const Metadata metadata(loaded.metadata, from);
  model.size = options.size ? *options.size : metadata.size().value_or(0);
  if (options.size && (model.size < 1 || model.size > kLargestSize))
    throw UsageError("--size must be from 1 to ", kLargestSize, ", and is ", model.size);
  if (model.encoder) {
    const auto& images = ssl::image_encoder(*model.encoder);
    if (model.size > 0) images.check_size(model.size, model.size);
  }

  if (!options.mean || !options.std) metadata.require_pair(options.mean.has_value(), options.std.has_value());
  model.mean = options.mean ? *options.mean : metadata.numbers("mean").value_or(kImageNetMean);
  model.std = options.std ? *options.std : metadata.numbers("std").value_or(kImageNetStd);
  if (options.pixels) model.mean = {0, 0, 0}, model.std = {1, 1, 1};
  if (model.mean.size() != model.std.size())
    throw UsageError("the normalization has ", model.mean.size(), " means and ", model.std.size(),
                     " deviations; give both --mean and --std, one value per channel");
  for (const auto std : model.std)
    if (!(std > 0 && std::isfinite(std)))
      throw UsageError("the deviations of the normalization must be above 0, and one is ", std, "; give --std");
  if (model.size > 0) model.view();  // refuses what cannot be a view of an image
  if (constexpr int kColors = 3; model.encoder && architecture.in_channels != kColors)
    throw UsageError(model.description, " takes images of ", architecture.in_channels,
                     architecture.in_channels == 1 ? " channel" : " channels", ", and views have ", kColors);

  model.decode = metadata.decode();
  augment::table(model.decode).from_json(in_section(line.values, "decode"), "--decode");
  if (options.exif_orientation) {
    if (line.has("decode.exif_orientation") && options.decode.exif_orientation != *options.exif_orientation)
      throw UsageError("--exif-orientation and --decode.exif-orientation contradict each other; give one of them");
    model.decode.exif_orientation = *options.exif_orientation;
  }
  if (model.encoder) model.encoder->to(device);
  return model;
}

void resolve_size(EvaluatedModel& model, const data::Dataset& images, const EvaluationOptions& options,
                  const ssl::Group& group) {
  if (model.size > 0) return;
  const int side = median_short_side_on_all_ranks(images, group, options.timeout);
  model.size = side <= kSmallImage ? side : kUsualSize;
  if (model.encoder) ssl::image_encoder(*model.encoder).check_size(model.size, model.size);
  model.view();
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
  run_on_rank0(group, options.timeout, [&] { sets.shared = eval::find_shared_images(*sets.train, *sets.test); });
  if (const auto doubt = sets.shared.sentence(); !doubt.empty()) warnings.add(doubt);
  return sets;
}

void require_same_settings(const ssl::Group& group, const OptionTable& settings, const EvaluatedModel& model) {
  if (group.world_size() == 1) return;
  auto json = settings.to_json();
  // These may differ: where each machine reads and writes, and how fast it is.
  for (const char* local : {"checkpoint", "data", "train", "test", "out", "json", "device", "backend", "timeout"})
    json.erase(local);
  json["features"].erase("threads");
  auto decode = model.decode;
  json["images"] = {{"size", model.size}, {"mean", model.mean}, {"std", model.std}};
  json["decode"] = augment::table(decode).to_json();
  data::Fingerprint weights;
  if (model.encoder)
    for (const auto& [name, tensor] : ssl::state_of(*model.encoder)) {
      const auto bytes = tensor.detach().cpu().contiguous();
      weights.add(name);
      weights.add(std::string_view(static_cast<const char*>(bytes.const_data_ptr()), bytes.nbytes()));
    }
  require_equal_on_all_ranks(group, {{"other settings", json, "start all ranks with the same command"},
                                     {"other weights", weights.value(), "give all machines the same file of weights"}});
}

std::shared_ptr<const data::Dataset> open_split(const EvaluationOptions& options, data::Split split,
                                                const ssl::Group& group) {
  const bool train = split == data::Split::kTrain;
  const std::string& own = train ? options.train : options.test;
  ssl::run_on_all_ranks(group, [&] {
    if (own.empty() && options.data.empty())
      throw UsageError(train ? "no training images: give --data DIR with train inside, or --train DIR"
                             : "no test images: give --data DIR with test or val inside, or --test DIR");
  });
  if (!own.empty())
    return open_on_all_ranks(
        own, [&] { return train ? data::open_dataset(own, split) : data::open_test_images(own); }, group,
        options.timeout);
  return open_on_all_ranks(options.data, split, group, options.timeout);
}

eval::FeatureOptions feature_options(const EvaluatedModel& model, const EvaluationOptions& options, at::Device device) {
  auto features = options.features;
  features.device = device.str();
  features.decode = model.decode;
  features.retry_time = data::retry_time(std::chrono::seconds(options.timeout));
  return features;
}

Evaluation start_evaluation(const std::string& command, EvaluationOptions& options, const CommandLine& line,
                            const OptionTable& fields, const std::function<void()>& require_outputs) {
  auto environment = read_environment();
  use_share_of_cores(environment);
  const auto device = choose_device(options.device, environment);
  auto group = rendezvous(environment, device, {options.backend, options.timeout}, command);
  use_share_of_cores(environment, *group);
  EvaluatedModel model;
  // Errors of one rank alone must reach the others before they wait for it.
  ssl::run_on_all_ranks(*group, [&] {
    if (group->rank() == 0) require_outputs();
    model = load_model(options, line, device);
  });
  require_same_settings(*group, fields, model);
  const bool printed = group->rank() == 0;
  return {options, device, std::move(group), Warnings(printed), std::move(model)};
}

void Evaluation::prepare(const data::Dataset& images) {
  resolve_size(model, images, options, *group);
  const auto note = resolve_precision(*group, device, options.features.precision);
  if (!is_rank0()) return;
  if (!note.empty()) std::fprintf(stderr, "%s\n", note.c_str());
  if (const auto slow = slow_precision_warning(options.features.precision, device); !slow.empty()) warnings.add(slow);
}

eval::Features Evaluation::features(std::shared_ptr<const data::Dataset> dataset) {
  const auto how = feature_options(model, options, device);
  auto features = model.encoder ? eval::extract_features(*model.encoder, std::move(dataset), model.view(), how, *group)
                                : eval::pixel_features(std::move(dataset), model.view(), how, *group);
  if (const auto warning = augment::range_warning(features.decoded); !warning.empty()) warnings.add(warning);
  return features;
}

void Evaluation::describe(nlohmann::json& result) const {
  result["subject"] = model.description;
  result["size"] = model.size;
  result["seed"] = options.seed;
}

namespace {

/// Prints the data, the model and the report, and writes all of it to --json.
void write_report(const Evaluation& evaluation, const MeasuredSets& sets, eval::Report report) {
  const auto& place = evaluation.options.json;
  for (const auto& [name, set] : {std::pair{"train", sets.train.get()}, {"test", sets.test.get()}}) {
    report.json["data"][name] = set->description();
    print_message(place, printable(concat(name, ": ", set->description())));
  }
  print_line(place, concat(evaluation.model.description, ", ", evaluation.model.size, " px"));
  const auto& [compared, shared, example] = sets.shared;
  print_line(place, report.text + (shared == 0 ? std::string()
                                               : concat("; ", shared, " of ", compared,
                                                        " compared test images are training images")));
  report.json["counts"]["compared"] = compared;
  report.json["counts"]["shared"] = shared;
  evaluation.describe(report.json);
  write_result(place, std::move(report.json), evaluation.warnings.sentences());
}

}  // namespace

int measure(const std::string& command, const std::string& summary, const std::string& examples,
            const std::vector<std::string>& arguments) {
  EvaluationOptions options;
  const auto names = eval::protocol_list(command);
  std::string name = names.substr(0, names.find(','));
  auto fields = table(options);
  fields.add("protocol", name, "one of " + names);
  std::map<std::string, AnyOptions> sections;  // protocols with one section share its options
  for (const auto& protocol : eval::protocols()) {
    if (protocol.command != command) continue;
    const auto [section, added] = sections.try_emplace(protocol.section, protocol.options);
    if (added && protocol.section.empty()) fields.append(section->second.fields());
    if (added && !protocol.section.empty()) fields.section(protocol.section, section->second.fields());
  }
  const CommandSpec spec{concat("unlabel ", command, " --checkpoint RUN|FILE --data DIR [options]"),
                         concat(summary, " Protocols:", eval::protocol_help(command)),
                         {},
                         "examples:\n" + examples};
  const auto line = parse_command_line(arguments, fields, spec);
  if (print_help(line, fields, spec)) return 0;
  line.apply(fields);
  const auto& protocol = eval::find_protocol(command, name);
  const auto& given = sections.at(protocol.section);
  if (protocol.run_on_images && options.pixels)
    throw UsageError("--protocol ", name, " needs an encoder, and --pixels has none");
  if (protocol.run_on_images && options.features.broken != "fail")
    throw UsageError("--protocol ", name, " reads every image, and does not take --features.broken ",
                     options.features.broken, "; repair or remove broken images");
  if (protocol.check) protocol.check(given);

  auto evaluation = start_evaluation(command, options, line, fields,
                                     [&] { require_output("--json", options.json, files_of(options)); });
  const auto sets = open_sets(options, *evaluation.group, evaluation.warnings);
  evaluation.prepare(*sets.test);
  const auto progress = [&](const std::string& text) {
    if (evaluation.is_rank0()) std::fprintf(stderr, "%s\n", text.c_str());
  };
  const auto& model = evaluation.model;
  const eval::ProtocolContext context{*evaluation.group, feature_options(model, options, evaluation.device),
                                      options.seed, progress};
  eval::Report report;
  if (protocol.run_on_images) {
    report = protocol.run_on_images(given, {*model.encoder, sets.train, sets.test, model.view()}, context);
  } else {
    auto train = evaluation.features(sets.train), test = evaluation.features(sets.test);
    if (options.pixels) eval::center(train, test);
    report = protocol.run_on_features(given, train, test, context);
  }
  for (const auto& warning : report.warnings) evaluation.warnings.add(warning);
  if (evaluation.is_rank0()) write_report(evaluation, sets, std::move(report));
  return 0;
}

}  // namespace unlabel::launch
