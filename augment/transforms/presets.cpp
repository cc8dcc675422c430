#include <unlabel/augment/transforms/presets.h>

#include <algorithm>

namespace unlabel::augment {

namespace {

/// A preset's own values, for options that are unset.
struct Published {
  int global_count = 2;
  Range global_scale{0.08, 1};
  Interpolation interpolation = Interpolation::kBilinear;
  Family family = Family::kTorchvision;  // of the crop
  std::vector<double> std{0.229, 0.224, 0.225};
};

Normalize normalization(const PresetOptions& options, const Published& published) {
  Normalize normalize;
  normalize.std = published.std;
  if (options.mean) normalize.mean = *options.mean;
  if (options.std) normalize.std = *options.std;
  return normalize;
}

int global_size(const PresetOptions& options) { return options.global_size.value_or(224); }

std::vector<Transform> crop(int size, Range scale, const PresetOptions& options, const Published& published) {
  return {RandomResizedCrop{.size = {size},
                            .scale = scale,
                            .interpolation = options.interpolation.value_or(published.interpolation),
                            .family = options.crop_family.value_or(published.family)},
          RandomHorizontalFlip{}};
}

std::vector<Transform> global_crop(const PresetOptions& options, const Published& published) {
  return crop(global_size(options), options.global_scale.value_or(published.global_scale), options, published);
}

/// SimCLR's color distortion at strength s and blur, which SwAV and DeepCluster-v2 took over.
void add_color(std::vector<Transform>& steps, const PresetOptions& options, const Published& published) {
  const double s = options.jitter;
  if (s > 0) steps.push_back(ColorJitter{0.8, 0.8 * s, 0.8 * s, 0.8 * s, std::min(0.2 * s, 0.5)});
  steps.push_back(RandomGrayscale{0.2});
  if (options.blur) steps.push_back(GaussianBlur{0.5, {0.1, 2}});
  steps.push_back(normalization(options, published));
}

/// The global views of a preset.
MultiCrop::Group group_of(std::vector<Transform> steps, const PresetOptions& options, const Published& published) {
  return {options.global_count.value_or(published.global_count), Pipeline(std::move(steps))};
}

MultiCrop swav(const PresetOptions& options) {
  const Published published{.global_scale = {0.14, 1}, .std = {0.228, 0.224, 0.225}};
  auto global = global_crop(options, published);
  add_color(global, options, published);
  std::vector<MultiCrop::Group> groups{group_of(std::move(global), options, published)};
  const int local_count = options.local_count.value_or(6);
  if (local_count < 0) throw UsageError("local_count must not be negative, not ", local_count);
  if (local_count > 0) {
    auto local =
        crop(options.local_size.value_or(96), options.local_scale.value_or(Range{0.05, 0.14}), options, published);
    add_color(local, options, published);
    groups.push_back({local_count, Pipeline(std::move(local))});
  }
  return MultiCrop(std::move(groups));
}

MultiCrop simclr(const PresetOptions& options) {
  const Published published;
  auto steps = global_crop(options, published);
  add_color(steps, options, published);
  return MultiCrop({group_of(std::move(steps), options, published)});
}

MultiCrop::Group byol_view(int view, const PresetOptions& options) {
  const Published published{.global_count = 1, .interpolation = Interpolation::kBicubic, .family = Family::kByol};
  const double s = options.jitter;
  const int taps = 2 * (global_size(options) / 20) + 1;
  auto steps = global_crop(options, published);
  if (s > 0) steps.push_back(ColorJitter{0.8, 0.4 * s, 0.4 * s, 0.2 * s, std::min(0.1 * s, 0.5), Family::kByol});
  steps.push_back(RandomGrayscale{0.2});
  if (options.blur) steps.push_back(GaussianBlur{view == 1 ? 1.0 : 0.1, {0.1, 2}, taps, Border::kZero});
  if (view == 2) steps.push_back(RandomSolarize{0.5, 0.2});
  steps.push_back(normalization(options, published));
  return group_of(std::move(steps), options, published);
}

MultiCrop deepcluster(const PresetOptions& options) {
  const Published published{.global_count = 1};
  auto steps = global_crop(options, published);
  steps.push_back(normalization(options, published));
  return MultiCrop({group_of(std::move(steps), options, published)});
}

MultiCrop evaluation(const PresetOptions& options) {
  if (options.crop_family) throw UsageError("preset eval has no random crops: leave out crop_family");
  const Published published{.global_count = 1};
  const auto interpolation = options.interpolation.value_or(published.interpolation);
  const int size = global_size(options);
  std::vector<Transform> steps;
  if (size <= 64) {
    steps = {Resize{{size, size}, interpolation}};
  } else {
    steps = {Resize{{static_cast<int>(std::lround(size * 256.0 / 224.0))}, interpolation}, CenterCrop{{size}}};
  }
  steps.push_back(normalization(options, published));
  return MultiCrop({group_of(std::move(steps), options, published)});
}

struct Preset {
  std::string_view name;
  MultiCrop (*make)(const PresetOptions&);
  bool local_crops = false;
};

constexpr Preset kPresets[] = {
    {"swav", swav, true},
    {"deepcluster_v2", swav, true},
    {"simclr", simclr},
    {"byol",
     [](const PresetOptions& o) {
       return MultiCrop({byol_view(1, o), byol_view(2, o)});
     }},
    {"byol_view1", [](const PresetOptions& o) { return MultiCrop({byol_view(1, o)}); }},
    {"byol_view2", [](const PresetOptions& o) { return MultiCrop({byol_view(2, o)}); }},
    {"deepcluster", deepcluster},
    {"eval", evaluation},
};

}  // namespace

OptionTable table(PresetOptions& o) {
  return {
      {"global_size", o.global_size, "side of the global crops in pixels; default: the preset's"},
      {"global_count", o.global_count,
       "number of global crops (preset byol: of each of byol_view1 and byol_view2); default: the preset's"},
      {"global_scale", o.global_scale, "area of a global crop, as a fraction of the image's; default: the preset's"},
      {"local_size", o.local_size, "side of the local crops in pixels; default: the preset's"},
      {"local_count", o.local_count, "number of local crops, 0: none; default: the preset's"},
      {"local_scale", o.local_scale, "area of a local crop, as a fraction of the image's; default: the preset's"},
      {"mean", o.mean, "mean of the normalization, for each channel; default: the preset's"},
      {"std", o.std, "standard deviation of the normalization, for each channel; default: the preset's"},
      {"jitter", o.jitter, "factor of the strength of the color jitter; 0: none"},
      {"blur", o.blur, "Gaussian blur"},
      {"interpolation", o.interpolation, "interpolation of resized crops; default: the preset's"},
      {"crop_family", o.crop_family,
       "definition of the random crops: torchvision's (ten draws, antialiased), or that of BYOL's released code (one "
       "draw, resized without antialiasing and without rounding to bytes; the default of preset byol)"},
      {"exact", o.exact,
       "views bit-equal to torchvision's of 8-bit PIL images, with the exceptions in docs/augment.md; slower"}};
}

const std::vector<std::string>& preset_names() {
  static const auto names = [] {
    std::vector<std::string> all;
    for (const auto& preset : kPresets) all.emplace_back(preset.name);
    return all;
  }();
  return names;
}

MultiCrop preset(const std::string& name, const PresetOptions& options) {
  if (!(options.jitter >= 0 && options.jitter <= 10))
    throw UsageError("jitter must be in [0, 10], not ", options.jitter);
  const auto* const found = std::ranges::find(kPresets, name, &Preset::name);
  if (found == std::end(kPresets))
    throw UsageError("there is no preset '", name, "'", did_you_mean(name, preset_names()));
  if (!found->local_crops && (options.local_count.value_or(0) != 0 || options.local_size || options.local_scale))
    throw UsageError("preset ", name, " has no local crops: leave out local_size, local_count and local_scale");
  auto made = found->make(options);
  return options.exact ? MultiCrop(made.groups(), true) : made;
}

const Normalize* find_normalize(const Pipeline& pipeline) {
  for (const auto& step : pipeline.steps())
    if (const auto* normalize = std::get_if<Normalize>(&step)) return normalize;
  return nullptr;
}

MultiCrop evaluation_view(const MultiCrop& training) {
  PresetOptions view;
  view.global_size = training.shape(0).width;
  if (const auto* normalize = find_normalize(training.pipeline(0))) {
    view.mean = normalize->mean;
    view.std = normalize->std;
  }
  return preset("eval", view);
}

}  // namespace unlabel::augment
