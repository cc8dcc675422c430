#include <unlabel/augment/error.h>
#include <unlabel/augment/transforms/presets.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace unlabel::augment {

namespace {

/// A preset's own values, where the options say nothing.
struct Published {
  int global_count = 2;
  Range global_scale{0.08, 1};
  Interpolation interpolation = Interpolation::kBilinear;
  Family family = Family::kTorchvision;  // of the crop
  std::vector<double> std{0.229, 0.224, 0.225};
};

Range range(const std::optional<std::vector<double>>& asked, Range otherwise, const char* option) {
  if (!asked) return otherwise;
  if (asked->size() != 2) throw UsageError(option, " takes [low, high], not ", asked->size(), " numbers");
  return {(*asked)[0], (*asked)[1]};
}

Interpolation interpolation(const PresetOptions& options, Interpolation otherwise) {
  if (!options.interpolation) return otherwise;
  if (*options.interpolation == "bilinear") return Interpolation::kBilinear;
  if (*options.interpolation == "bicubic") return Interpolation::kBicubic;
  throw UsageError("interpolation takes bilinear or bicubic, not '", *options.interpolation, "'");
}

Family crop_family(const PresetOptions& options, Family otherwise) {
  if (!options.crop_family) return otherwise;
  if (*options.crop_family == "torchvision") return Family::kTorchvision;
  if (*options.crop_family == "byol") return Family::kByol;
  throw UsageError("crop_family takes torchvision or byol, not '", *options.crop_family, "'");
}

Normalize normalization(const PresetOptions& options, const Published& published) {
  Normalize normalize;
  normalize.std = published.std;
  if (options.mean) normalize.mean = *options.mean;
  if (options.std) normalize.std = *options.std;
  return normalize;
}

int global_size(const PresetOptions& options) { return options.global_size.value_or(224); }

std::vector<Transform> crop(int size, Range scale, const PresetOptions& options, const Published& published) {
  RandomResizedCrop crop;
  crop.size = {size};
  crop.scale = scale;
  crop.interpolation = interpolation(options, published.interpolation);
  crop.family = crop_family(options, published.family);
  return {crop, RandomHorizontalFlip{}};
}

/// SimCLR's color distortion at strength s and blur, which SwAV and DeepCluster-v2 took over.
void add_color(std::vector<Transform>& steps, const PresetOptions& options, const Published& published) {
  const double s = options.jitter;
  if (s > 0) steps.push_back(ColorJitter{0.8, 0.8 * s, 0.8 * s, 0.8 * s, std::min(0.2 * s, 0.5)});
  steps.push_back(RandomGrayscale{0.2});
  if (options.blur) steps.push_back(GaussianBlur{0.5, {0.1, 2}});
  steps.push_back(normalization(options, published));
}

MultiCrop swav(const PresetOptions& options) {
  const Published published{.global_scale = {0.14, 1}, .std = {0.228, 0.224, 0.225}};
  const auto group = [&](int count, int size, Range scale) {
    auto steps = crop(size, scale, options, published);
    add_color(steps, options, published);
    return MultiCrop::Group{count, Pipeline(std::move(steps))};
  };
  std::vector<MultiCrop::Group> groups{group(options.global_count.value_or(published.global_count),
                                             global_size(options),
                                             range(options.global_scale, published.global_scale, "global_scale"))};
  const int local_count = options.local_count.value_or(6);
  if (local_count < 0) throw UsageError("local_count must not be negative, not ", local_count);
  if (local_count > 0)
    groups.push_back(
        group(local_count, options.local_size.value_or(96), range(options.local_scale, {0.05, 0.14}, "local_scale")));
  return MultiCrop(std::move(groups));
}

void refuse_locals(const std::string& name, const PresetOptions& options) {
  if (options.local_count.value_or(0) != 0 || options.local_size || options.local_scale)
    throw UsageError("preset ", name, " has no local crops: leave out local_size, local_count and local_scale");
}

MultiCrop simclr(const PresetOptions& options) {
  const Published published;
  auto steps = crop(global_size(options), range(options.global_scale, published.global_scale, "global_scale"), options,
                    published);
  add_color(steps, options, published);
  return MultiCrop({{options.global_count.value_or(2), Pipeline(std::move(steps))}});
}

MultiCrop::Group byol_view(int view, const PresetOptions& options) {
  const Published published{.global_count = 1, .interpolation = Interpolation::kBicubic, .family = Family::kByol};
  const int size = global_size(options);
  auto steps = crop(size, range(options.global_scale, published.global_scale, "global_scale"), options, published);
  const double s = options.jitter;
  if (s > 0) steps.push_back(ColorJitter{0.8, 0.4 * s, 0.4 * s, 0.2 * s, std::min(0.1 * s, 0.5), Family::kByol});
  steps.push_back(RandomGrayscale{0.2});
  if (options.blur) steps.push_back(GaussianBlur{view == 1 ? 1.0 : 0.1, {0.1, 2}, 2 * (size / 20) + 1, Border::kZero});
  if (view == 2) steps.push_back(RandomSolarize{0.5, 0.2});
  steps.push_back(normalization(options, published));
  return {options.global_count.value_or(published.global_count), Pipeline(std::move(steps))};
}

MultiCrop deepcluster(const PresetOptions& options) {
  const Published published{.global_count = 1};
  auto steps = crop(global_size(options), range(options.global_scale, published.global_scale, "global_scale"), options,
                    published);
  steps.push_back(normalization(options, published));
  return MultiCrop({{options.global_count.value_or(published.global_count), Pipeline(std::move(steps))}});
}

MultiCrop evaluation(const PresetOptions& options) {
  if (options.crop_family) throw UsageError("preset eval has no random crops: leave out crop_family");
  const Published published{.global_count = 1};
  const int size = global_size(options);
  std::vector<Transform> steps;
  if (size <= 64) {
    steps = {Resize{{size, size}, interpolation(options, published.interpolation)}};
  } else {
    const int short_side = static_cast<int>(std::lround(size * 256.0 / 224.0));
    steps = {Resize{{short_side}, interpolation(options, published.interpolation)}, CenterCrop{{size}}};
  }
  steps.push_back(normalization(options, published));
  return MultiCrop({{options.global_count.value_or(published.global_count), Pipeline(std::move(steps))}});
}

}  // namespace

OptionTable table(PresetOptions& o) {
  OptionTable t;
  t.add("global_size", o.global_size, "side of the global crops in pixels");
  t.add("global_count", o.global_count, "number of global crops (of preset byol: of each of its two kinds)");
  t.add("global_scale", o.global_scale, "[low, high] of the area of a global crop, as a fraction of the image's");
  t.add("local_size", o.local_size, "side of the local crops in pixels");
  t.add("local_count", o.local_count, "number of local crops; 0: none");
  t.add("local_scale", o.local_scale, "[low, high] of the area of a local crop, as a fraction of the image's");
  t.add("mean", o.mean, "mean of the normalization, for each channel");
  t.add("std", o.std, "standard deviation of the normalization, for each channel");
  t.add("jitter", o.jitter, "factor of the strength of the color jitter; 0: none");
  t.add("blur", o.blur, "Gaussian blur");
  t.add("interpolation", o.interpolation, "of resized crops: bilinear or bicubic");
  t.add("crop_family", o.crop_family,
        "random crops as of torchvision (ten draws, antialiased) or of byol's released code (one draw, not "
        "antialiased, in floats; preset byol's own)");
  t.add("exact", o.exact, "views bit-equal to torchvision's of PIL images; slower");
  return t;
}

const std::vector<std::string>& preset_names() {
  static const std::vector<std::string> names{"swav",       "deepcluster_v2", "simclr",      "byol",
                                              "byol_view1", "byol_view2",     "deepcluster", "eval"};
  return names;
}

namespace {

MultiCrop make_preset(const std::string& name, const PresetOptions& options) {
  if (!(options.jitter >= 0 && options.jitter <= 10))
    throw UsageError("jitter must be in [0, 10], not ", options.jitter);
  if (name == "swav" || name == "deepcluster_v2") return swav(options);
  const auto& names = preset_names();
  if (std::find(names.begin(), names.end(), name) == names.end())
    throw UsageError("there is no preset '", name, "'", did_you_mean(name, names));
  refuse_locals(name, options);
  if (name == "simclr") return simclr(options);
  if (name == "byol") return MultiCrop({byol_view(1, options), byol_view(2, options)});
  if (name == "byol_view1") return MultiCrop({byol_view(1, options)});
  if (name == "byol_view2") return MultiCrop({byol_view(2, options)});
  if (name == "deepcluster") return deepcluster(options);
  return evaluation(options);
}

}  // namespace

MultiCrop preset(const std::string& name, const PresetOptions& options) {
  const MultiCrop made = make_preset(name, options);
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
