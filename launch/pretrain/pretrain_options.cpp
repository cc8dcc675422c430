#include <unlabel/augment/error.h>
#include <unlabel/data/formats.h>
#include <unlabel/data/io/files.h>
#include <unlabel/eval/protocols.h>
#include <unlabel/eval/protocols/online_knn.h>
#include <unlabel/launch/checkpoint/checkpoint.h>
#include <unlabel/launch/distributed/agreement.h>
#include <unlabel/launch/distributed/shared_data.h>
#include <unlabel/launch/pretrain/initial_weights.h>
#include <unlabel/launch/pretrain/pretrain_options.h>
#include <unlabel/launch/training/precision.h>
#include <unlabel/ssl/planning/plan_builder.h>
#include <unlabel/ssl/planning/recipe.h>

#include <algorithm>
#include <array>
#include <exception>
#include <filesystem>
#include <limits>
#include <set>

namespace unlabel::launch {

OptionTable table(PretrainOptions& o) {
  OptionTable t;
  t.add("method", o.method, concat("how to learn: ", ssl::method_list()));
  t.add("data", o.data,
        "images: a folder, whose format is recognized, or with the format named: " + data::format_prefixes());
  t.add("out", o.out, "run folder; running the same command again resumes the run");
  t.add("recipe", o.recipe,
        "settings by name (swav_800ep, cifar10_small ...) or from a JSON file; default: planned from the data");
  t.add("init", o.init,
        "initial weights of the encoder: a .safetensors file or a run folder; they decide its architecture");
  t.add("init_partial", o.init_partial,
        "load the tensors of --init that fit, and leave the others randomly initialized");
  t.add("epochs", o.epochs, "passes over the data; learning-rate schedules span them");
  t.add("max_steps", o.max_steps, "stop when the run has made N steps in all; the schedules still span all epochs");
  t.add("batch_size", o.batch_size, "images per step, over all ranks");
  t.add("micro_batch", o.micro_batch,
        "images per forward pass on a rank, with gradients accumulated; 0: the rank's share of the batch");
  t.add("precision", o.precision,
        "float32, bf16, fp16, float64, or auto: bf16 where the device has instructions for it, else float32");
  t.add("channels_last", o.channels_last, "memory layout of images and convolutions; faster on most hardware");
  t.add("seed", o.seed, "seed of initial weights, sample order and views");
  t.add("threads", o.threads, "loader threads per rank; -1: from the number of cores; 0: load in the main thread");
  t.add("device", o.device, "auto, cpu, cuda or cuda:N");
  t.add("backend", o.backend, "communication between ranks: auto, nccl or gloo");
  t.add("timeout", o.timeout, "seconds that ranks wait for each other in a training step");
  t.add("init_timeout", o.init_timeout,
        "seconds that ranks wait for each other in set-up, saves, passes over the data before an epoch (clustering) "
        "and kNN evaluations");
  t.add("batch_norm_images", o.batch_norm_images,
        "batch statistics are taken over groups of ranks, the smallest that have at least N images in a forward pass; "
        "0: all ranks; 1: each rank separately");
  t.add("checkpoint.every", o.checkpoint.every, "interval between checkpoints; 0: only at the end");
  t.add("checkpoint.keep", o.checkpoint.keep, "keep the N newest checkpoints");
  t.add("checkpoint.keep_every", o.checkpoint.keep_every,
        "keep every checkpoint whose step is a multiple of N, forever; 0: none");
  t.add("health.nonfinite_budget", o.health.nonfinite_budget,
        "how many of the last 100 steps may be skipped (loss or gradients not finite) before the run ends");
  t.add("health.broken_budget", o.health.broken_budget,
        "the run ends when this fraction of the data set is broken; fewer are replaced by other images; default: 0.01 "
        "and at least 10 images, or 0.25 of a data set of fewer than 40");
  t.add("knn.every", o.knn.every,
        "epochs between kNN evaluations on the labeled images in train and test of --data; 0: none");
  t.add("knn.protocol", o.knn.protocol, "one of " + eval::protocol_list("knn"));
  t.add("knn.train_images", o.knn.train_images, "use at most N training images");
  t.add("knn.test_images", o.knn.test_images, "use at most N test images");
  t.section("encoder", ssl::table(o.encoder));
  t.append(ssl::table(o.methods));
  t.section("optimizer", ssl::table(o.optimizer));
  t.section("schedule", ssl::table(o.schedule));
  t.section("decode", augment::table(o.decode));
  t.add("augment.preset", o.augment_preset, "swav, simclr, byol, deepcluster, deepcluster_v2");
  t.section("augment", augment::table(o.augment));
  return t;
}

namespace {

constexpr const char* kSameCommand = "start all ranks with the same command, recipe and data";

/// The settings in `saved`, the options that a run began with, that `kept` names.
nlohmann::json keep(const nlohmann::json& saved, const OptionTable& fields,
                    const std::function<bool(const std::string&)>& kept) {
  auto values = nlohmann::json::object();
  for (const auto& field : fields.fields())
    if (const auto place = ssl::setting_pointer(field.name); kept(field.name) && saved.contains(place))
      values[field.name] = saved.at(place);
  return fields.flatten(values, "the checkpoint");
}

PretrainOptions merge(const std::vector<OptionLayer>& layers) {
  auto values = nlohmann::json::object();
  for (const auto& layer : layers) values.update(layer.values);
  PretrainOptions options;
  table(options).from_json(values, "the options");
  return options;
}

/// The settings of --recipe. Throws UsageError for a recipe of another method.
nlohmann::json read_recipe(const std::string& name, const std::string& method) {
  auto recipe = ssl::find_recipe(name);
  if (recipe.contains("method") && recipe["method"] != method)
    throw UsageError("--recipe ", name, " is for ", recipe["method"].dump(), ", not for ", method);
  recipe.erase("description");
  recipe.erase("source");
  return recipe;
}

/// The settings of the section `encoder` that the weights of --init decide, without those that the recipe or the command line (`given`)
/// has. Throws UsageError when these have others than the weights, unless a part of them is enough.
nlohmann::json decided_by_weights(const PretrainOptions& options, const nlohmann::json& recipe,
                                  const nlohmann::json& given) {
  auto asked = recipe;
  asked.update(given);
  const auto weights = encoder_options_at(options.init, "--init");
  if (!weights) {
    if (asked.contains("arch")) return nlohmann::json::object();
    throw UsageError(
        "--init ", options.init,
        ": its tensors are not those of a ResNet with torchvision's names, nor of AlexNet or VGG-16 (with any "
        "combination of the prefixes ",
        ssl::known_prefixes(), "); rename them, or give the architecture with --encoder.arch");
  }
  const auto advice = [&](const std::string& mend) {
    return asked.value("width", weights->width) == weights->width
               ? concat("; ", mend, ", or take what fits with --init-partial")
               : concat("; ", mend, ": of another width nothing fits");
  };
  if (const auto text = contradiction(given, *weights, options.init); !text.empty() && !options.init_partial)
    throw UsageError(text, advice("leave it out"));
  if (const auto text = contradiction(asked, *weights, options.init); !text.empty() && !options.init_partial) {
    const auto theirs = settings_of_weights(*weights);
    std::string settings;
    for (const auto& [name, value] : theirs.items())
      if (asked.contains(name) && asked.at(name) != value)
        settings +=
            concat(" --encoder.", with_dashes(name), " ", value.is_string() ? value.get<std::string>() : value.dump());
    throw UsageError(text, advice(concat("the recipe has it: give", settings)));
  }
  auto decided = settings_of_weights(*weights);
  for (const auto& item : asked.items()) decided.erase(item.key());
  return decided;
}

/// Throws for an option of images, where a method learns from other data: it would do nothing.
void refuse_image_options(const CommandLine& line, const std::string& method) {
  for (const auto& [name, value] : line.values.items())
    for (const char* section : {"augment.", "decode.", "knn."})
      if (name.starts_with(section))
        throw UsageError("--", with_dashes(name), " is of images, and ", method,
                         " learns from other data: leave it out");
}

/// Throws for an option of another method: it would do nothing.
void refuse_other_methods(const CommandLine& line, const std::string& method) {
  const auto names = ssl::method_names();
  for (const auto& [name, value] : line.values.items()) {
    const auto section = name.substr(0, name.find('.'));
    if (section.size() < name.size() && section != method && std::ranges::find(names, section) != names.end())
      throw UsageError("--", with_dashes(name), " is an option of ", section, ", and this run is of ", method);
  }
}

/// Throws UsageError for values that no run can have, whatever its data.
void require_valid(const PretrainOptions& options) {
  require_precision(options.precision);
  const auto at_least = [](std::int64_t least, const char* name, std::int64_t value) {
    if (value < least) throw UsageError("--", name, " must be at least ", least, ", not ", value);
  };
  at_least(1, "epochs", options.epochs);
  at_least(1, "batch-size", options.batch_size);
  at_least(1, "checkpoint.keep", options.checkpoint.keep);
  at_least(0, "checkpoint.keep-every", options.checkpoint.keep_every);
  at_least(0, "health.nonfinite-budget", options.health.nonfinite_budget);
  at_least(0, "batch-norm-images", options.batch_norm_images);
  at_least(0, "micro-batch", options.micro_batch);
  at_least(0, "max-steps", options.max_steps.value_or(0));
  at_least(-1, "threads", options.threads);
  std::error_code ignored;
  if (std::filesystem::equivalent(options.out, options.data, ignored))
    throw UsageError("--out ", options.out, " is the folder of the images: give the run a folder of its own");
  const auto channels = make_views(options).shape(0).channels;
  if (options.encoder.in_channels != channels)
    throw UsageError("--encoder.in-channels ", options.encoder.in_channels, " does not fit views of ", channels,
                     " channels");
  if (const auto budget = options.health.broken_budget; budget && !(*budget > 0 && *budget <= 1))
    throw UsageError("--health.broken-budget must be a share above 0 and up to 1, and is ", *budget);
  if (options.knn.every > 0) {
    eval::OnlineKnnOptions knn;
    knn.train_images = options.knn.train_images;
    knn.test_images = options.knn.test_images;
    eval::find_protocol("knn", options.knn.protocol);
    eval::require_valid(knn);
  }
}

}  // namespace

const OptionLayer& deciding_layer(const std::vector<OptionLayer>& layers, const std::string& setting) {
  const auto last = std::find_if(layers.rbegin(), layers.rend(),
                                 [&](const OptionLayer& layer) { return layer.values.contains(setting); });
  UNLABEL_INVARIANT(last != layers.rend());
  return *last;
}

ResolvedOptions resolve_options(const CommandLine& line, Purpose purpose, const Rendezvous& rendezvous) {
  const auto method = line.get("method"), out = line.get("out");
  if (method.empty())
    throw UsageError("which method? write unlabel pretrain METHOD --data DIR --out RUN, METHOD one of ",
                     ssl::method_list());
  const auto& spec = ssl::find_method(method);
  refuse_other_methods(line, method);
  const bool images = !spec.transform;
  if (!images) refuse_image_options(line, method);
  if (line.get("data").empty()) throw UsageError("--data is missing: a folder of images");
  if (out.empty() && purpose == Purpose::kRun)
    throw UsageError("--out is missing: the folder for the run, made when it is not there");

  PretrainOptions defaults;
  const auto fields = table(defaults);
  const auto recipe = line.get("recipe");
  const bool planned = recipe.empty();
  const auto none = nlohmann::json::object();
  ResolvedOptions resolved;
  auto& layers = resolved.layers;
  layers = {{"default", fields.flatten(fields.to_json(), "default")},
            {planned ? "plan" : "recipe " + recipe, none},
            {"weights of --init", none},
            {"checkpoint", none},
            {"command line", line.values},
            {"checkpoint", none}};
  auto& settings = layers[1].values;
  auto &of_weights = layers[2].values, &of_checkpoint = layers[3].values;
  auto& on_record = layers[5].values;  // what a run that goes on keeps whatever is given
  std::exception_ptr bad_recipe;
  if (!planned) {
    try {
      settings = fields.flatten(read_recipe(recipe, method), layers[1].name);
    } catch (const std::exception&) {
      bad_recipe = std::current_exception();
    }
  }

  // Where and how long to wait for each other is known now. A file that is missing or wrong on one rank alone is told on all of them.
  const auto asked = merge(layers);
  for (const auto& [option, seconds] : {std::pair("--timeout", asked.timeout), {"--init-timeout", asked.init_timeout}})
    if (seconds < 1) throw UsageError(option, " must be at least 1 second, not ", seconds);
  resolved.group = rendezvous(asked);
  const auto& group = *resolved.group;
  const auto began = broadcast_from_rank0(group, asked.init_timeout, [&] {
    const auto saved = out.empty() ? std::nullopt : checkpoint_options(out + "/checkpoints");
    return saved ? saved->dump() : "";
  });
  const bool goes_on = !began.empty();
  const auto saved = goes_on ? nlohmann::json::parse(began) : none;
  auto& options = resolved.options;
  ssl::run_on_all_ranks(group, [&] {
    if (bad_recipe) std::rethrow_exception(bad_recipe);
    if (const auto before = saved.value("method", nlohmann::json()); before.is_string() && before != method)
      throw MismatchError(out, " is a run of ", before.get<std::string>(), ": choose another --out for ", method);
    if (!goes_on && asked.init_partial && asked.init.empty())
      throw UsageError("--init-partial is of --init, which is not given");
    // The weights of --init decide the network, before any image is looked at.
    if (!goes_on && !asked.init.empty())
      of_weights = fields.flatten(
          {{"encoder", decided_by_weights(asked, in_section(settings, "encoder"), in_section(line.values, "encoder"))}},
          asked.init);
    // A plan stays as the run began, whatever a newer planner or a changed survey of the images would say. Of what a recipe leaves out,
    // the network stays where weights decided it. Both keep the largest image.
    const bool weights_decided = saved.value("init", nlohmann::json("")) != "";
    of_checkpoint = keep(saved, fields, [&](const std::string& name) {
      return name == "decode.max_pixels" ||
             (planned ? !is_runtime_option(name) : weights_decided && name.starts_with("encoder."));
    });
    for (const auto& [name, value] : settings.items()) of_checkpoint.erase(name);
    // What it began from is no longer read, and stays on record. It keeps the precision that it began with, on whatever machine.
    const bool automatic = deciding_layer(layers, "precision").values.at("precision") == "auto";
    on_record = keep(saved, fields, [&](const std::string& name) {
      return name == "init" || name == "init_partial" || (automatic && name == "precision");
    });
    if (planned) return;
    options = merge(layers);
    require_valid(options);
  });

  // What ranks do together depends on these. The weights' place may differ, and that of the recipe.
  require_equal_on_all_ranks(
      group, {{"other settings",
               {{"--recipe", planned ? "not given" : "given"}, {"--init", asked.init.empty() ? "not given" : "given"}},
               kSameCommand}});

  resolved.dataset = open_on_all_ranks(asked.data, data::Split::kTrain, group, asked.init_timeout);
  const auto samples = resolved.dataset->size();
  // Of data that are no images there is none.
  const auto median_short_side =
      images ? median_short_side_on_all_ranks(*resolved.dataset, group, asked.init_timeout) : 0;
  ssl::run_on_all_ranks(group, [&] {
    if (planned) {
      ssl::PlanInput input;
      input.images = samples;
      input.median_short_side = median_short_side;
      input.encoder_facts = ssl::encoder_facts;
      for (const auto& given : {line.values, of_weights})
        for (const auto& [name, value] : given.items()) input.given[ssl::setting_pointer(name)] = value;
      auto plan = ssl::make_plan(spec.plan, input);
      settings = fields.flatten(plan.recipe, "the plan");
      for (const auto& [name, value] : of_weights.items())
        resolved.choices.push_back({name, value, "as the weights of --init have it"});
      std::ranges::move(plan.choices, std::back_inserter(resolved.choices));
      for (auto& [setting, value, reason] : resolved.choices)
        if (of_checkpoint.contains(setting)) {
          value = of_checkpoint.at(setting);
          reason = "as planned when this run began";
        }
      options = merge(layers);
      require_valid(options);
    }
    if (options.epochs > std::numeric_limits<std::int64_t>::max() / std::max<std::int64_t>(1, samples))
      throw UsageError("--epochs ", options.epochs, " is more than can be counted");
  });
  if (goes_on) {
    const auto not_used = [&](const auto&... option) {
      resolved.warnings.push_back(concat(option..., " is not used: the run in ", out, " goes on, and began ",
                                         options.init.empty()   ? "without weights"
                                         : options.init_partial ? concat("from part of ", options.init)
                                                                : concat("from ", options.init)));
    };
    std::error_code ignored;
    if (!asked.init.empty() && asked.init != options.init &&
        !std::filesystem::equivalent(asked.init, options.init, ignored))
      not_used("--init ", asked.init);
    else if (asked.init_partial && !options.init_partial)
      not_used("--init-partial");
  }
  // The rest, before anything is made of it that one rank could refuse alone.
  auto shared = config_json(options);
  for (const char* own : {"data", "out", "init", "recipe", "device", "threads"}) shared.erase(own);
  require_equal_on_all_ranks(group, {{"other settings", shared, kSameCommand}});
  std::ranges::move(resolved.dataset->notes(), std::back_inserter(resolved.warnings));
  auto judged = table(options).to_json();
  if (goes_on) judged["init"] = out;  // its own weights
  for (auto& warning : ssl::plan_warnings(spec.plan, judged, samples, median_short_side, ssl::encoder_facts))
    resolved.warnings.push_back(std::move(warning));
  return resolved;
}

nlohmann::json config_json(const PretrainOptions& options) {
  PretrainOptions copy = options;
  auto json = table(copy).to_json();
  for (const auto& method : ssl::method_names())
    if (method != options.method) json.erase(method);
  return json;
}

bool is_runtime_option(const std::string& name) {
  static const std::set<std::string> kNames{
      "data", "out", "recipe", "init", "init_partial", "max_steps", "threads", "device", "backend", "timeout",
      "init_timeout",
      // It only decides which images are too large: a smaller one helps where memory is short.
      "decode.max_pixels"};
  return kNames.contains(name) || std::ranges::any_of(std::array{"checkpoint.", "health.", "knn."},
                                                      [&](const char* section) { return name.starts_with(section); });
}

std::int64_t micro_batch_size(const PretrainOptions& options, const data::Sampler& sampler, int world_size) {
  const auto local = sampler.local_batch();
  const auto micro = options.micro_batch == 0 ? local : options.micro_batch;
  if (local % micro != 0)
    throw UsageError("--micro-batch ", micro, " does not divide this rank's ", local, " images of --batch-size ",
                     options.batch_size, " on ", world_size, " ranks");
  return micro;
}

augment::MultiCrop make_views(const PretrainOptions& options) {
  return augment::preset(options.augment_preset, options.augment);
}

std::shared_ptr<const data::SampleTransform> make_transform(const PretrainOptions& options) {
  const auto& own = ssl::find_method(options.method).transform;
  if (own) return own(options.methods.of_method.at(options.method));
  return std::make_shared<data::ImageViews>(make_views(options), options.decode);
}

}  // namespace unlabel::launch
