#include <unlabel/augment/error.h>
#include <unlabel/augment/ops/geometry.h>
#include <unlabel/augment/overloaded.h>
#include <unlabel/augment/transforms/auto_augment.h>
#include <unlabel/augment/transforms/transforms.h>

#include <algorithm>
#include <cmath>

namespace unlabel::augment {

namespace {

constexpr int kMaxSize = 8192;
constexpr double kMaxSigma = 64;
constexpr int kMaxOperations = 16;

template <class T>
struct StepName;
#define UNLABEL_STEP_NAME(type)                 \
  template <>                                   \
  struct StepName<type> {                       \
    static constexpr const char* value = #type; \
  }
UNLABEL_STEP_NAME(RandomResizedCrop);
UNLABEL_STEP_NAME(Resize);
UNLABEL_STEP_NAME(CenterCrop);
UNLABEL_STEP_NAME(RandomHorizontalFlip);
UNLABEL_STEP_NAME(ColorJitter);
UNLABEL_STEP_NAME(RandomGrayscale);
UNLABEL_STEP_NAME(Grayscale);
UNLABEL_STEP_NAME(GaussianBlur);
UNLABEL_STEP_NAME(RandomSolarize);
UNLABEL_STEP_NAME(PadShift);
UNLABEL_STEP_NAME(Normalize);
UNLABEL_STEP_NAME(Sobel);
UNLABEL_STEP_NAME(RandomRotation);
UNLABEL_STEP_NAME(RandomAffine);
UNLABEL_STEP_NAME(RandAugment);
UNLABEL_STEP_NAME(TrivialAugmentWide);
UNLABEL_STEP_NAME(RandomErasing);
#undef UNLABEL_STEP_NAME

/// Every step with its defaults, in the order of the variant.
template <std::size_t... I>
std::vector<Step> all_steps(std::index_sequence<I...>) {
  return {Step(std::in_place_index<I>)...};
}
std::vector<Step> all_steps() { return all_steps(std::make_index_sequence<std::variant_size_v<Step>>()); }

cv::Size fixed_size(ImageSize size) { return {size.width > 0 ? size.width : size.height, size.height}; }

void check_size(ImageSize size, const std::string& where) {
  if (size.height < 1 || size.height > kMaxSize || size.width < 0 || size.width > kMaxSize)
    throw UsageError(where, ": size must be 1 to ", kMaxSize, " pixels, not ", nlohmann::json(size).dump());
}

void check_probability(double p, const std::string& where) {
  if (!(p >= 0 && p <= 1)) throw UsageError(where, ": p must be in [0, 1], not ", p);
}

void check_range(const char* field, Range range, double low, double high, const std::string& where) {
  if (!(range.low > low && range.low <= range.high && range.high <= high))
    throw UsageError(where, ": ", field, " must rise within (", low, ", ", high, "], not [", range.low, ", ",
                     range.high, "]");
}

/// Both ends belong to it, and they may be equal.
void check_closed_range(const char* field, Range range, double low, double high, const std::string& where) {
  if (!(range.low >= low && range.low <= range.high && range.high <= high))
    throw UsageError(where, ": ", field, " must rise within [", low, ", ", high, "], not [", range.low, ", ",
                     range.high, "]");
}

void check_fill(double fill, const std::string& where) {
  if (!(fill >= 0 && fill <= 1)) throw UsageError(where, ": fill is a fraction of white, in [0, 1], not ", fill);
}

void check_translate(double part, const std::string& where) {
  if (!(part >= 0 && part <= 1))
    throw UsageError(where, ": translate is [across, down], each a fraction of the side in [0, 1], not ", part);
}

void check_bins(int bins, const std::string& where) {
  if (bins < 2 || bins > 1000) throw UsageError(where, ": num_magnitude_bins must be 2 to 1000, not ", bins);
}

}  // namespace

std::string_view name(const Step& step) {
  return std::visit([]<class T>(const T&) { return std::string_view(StepName<T>::value); }, step);
}

void to_json(nlohmann::json& json, const ImageSize& size) {
  json = size.width == 0 ? nlohmann::json(size.height) : nlohmann::json{size.height, size.width};
}
void from_json(const nlohmann::json& json, ImageSize& size) {
  size = json.is_array() ? ImageSize{json[0].get<int>(), json[1].get<int>()} : ImageSize{json.get<int>(), 0};
}
void to_json(nlohmann::json& json, const Range& range) { json = {range.low, range.high}; }
void from_json(const nlohmann::json& json, Range& range) { range = {json[0].get<double>(), json[1].get<double>()}; }
void to_json(nlohmann::json& json, Interpolation value) {
  json = value == Interpolation::kBilinear ? "bilinear" : "bicubic";
}
void from_json(const nlohmann::json& json, Interpolation& value) {
  value = json == "bilinear" ? Interpolation::kBilinear : Interpolation::kBicubic;
}
void to_json(nlohmann::json& json, Border value) { json = value == Border::kReflect ? "reflect" : "zero"; }
void from_json(const nlohmann::json& json, Border& value) {
  value = json == "reflect" ? Border::kReflect : Border::kZero;
}
void to_json(nlohmann::json& json, Sampling value) { json = value == Sampling::kNearest ? "nearest" : "bilinear"; }
void from_json(const nlohmann::json& json, Sampling& value) {
  value = json == "nearest" ? Sampling::kNearest : Sampling::kBilinear;
}
void to_json(nlohmann::json& json, Family value) { json = value == Family::kTorchvision ? "torchvision" : "byol"; }
void from_json(const nlohmann::json& json, Family& value) {
  value = json == "torchvision" ? Family::kTorchvision : Family::kByol;
}

OptionTable table(RandomResizedCrop& o) {
  OptionTable t;
  t.add("size", o.size, "side of the result in pixels");
  t.add("scale", o.scale, "area of the box, as a fraction of the image's");
  t.add("ratio", o.ratio, "width / height of the box");
  t.add("interpolation", o.interpolation, "bilinear or bicubic, both antialiased unless family is byol");
  t.add("family", o.family, "whose definitions: torchvision or byol");
  return t;
}

OptionTable table(Resize& o) {
  OptionTable t;
  t.add("size", o.size, "the short side, or [height, width]");
  t.add("interpolation", o.interpolation, "bilinear or bicubic, both antialiased");
  return t;
}

OptionTable table(CenterCrop& o) {
  OptionTable t;
  t.add("size", o.size, "side of the result in pixels");
  return t;
}

OptionTable table(RandomHorizontalFlip& o) {
  OptionTable t;
  t.add("p", o.p, "probability");
  return t;
}

OptionTable table(ColorJitter& o) {
  OptionTable t;
  t.add("p", o.p, "probability to do anything");
  t.add("brightness", o.brightness, "greatest change of brightness");
  t.add("contrast", o.contrast, "greatest change of contrast");
  t.add("saturation", o.saturation, "greatest change of saturation");
  t.add("hue", o.hue, "greatest change of hue, in turns (at most 0.5)");
  t.add("family", o.family, "whose definitions: torchvision or byol");
  return t;
}

OptionTable table(RandomGrayscale& o) {
  OptionTable t;
  t.add("p", o.p, "probability");
  return t;
}

OptionTable table(Grayscale&) { return {}; }

OptionTable table(GaussianBlur& o) {
  OptionTable t;
  t.add("p", o.p, "probability");
  t.add("sigma", o.sigma, "standard deviation in pixels");
  t.add("kernel_size", o.kernel_size, "taps, odd; 0: as many as matter");
  t.add("border", o.border, "beyond the image: reflect or zero");
  return t;
}

OptionTable table(RandomSolarize& o) {
  OptionTable t;
  t.add("threshold", o.threshold, "what is brighter is inverted; a fraction of white");
  t.add("p", o.p, "probability");
  return t;
}

OptionTable table(PadShift& o) {
  OptionTable t;
  t.add("pad", o.pad, "greatest shift in pixels");
  return t;
}

OptionTable table(Normalize& o) {
  OptionTable t;
  t.add("mean", o.mean, "one a channel");
  t.add("std", o.std, "one a channel");
  return t;
}

OptionTable table(Sobel&) { return {}; }

OptionTable table(RandomRotation& o) {
  OptionTable t;
  t.add("degrees", o.degrees, "counter-clockwise");
  t.add("interpolation", o.interpolation, "nearest or bilinear");
  t.add("fill", o.fill, "what comes in from outside; a fraction of white");
  return t;
}

OptionTable table(RandomAffine& o) {
  OptionTable t;
  t.add("degrees", o.degrees, "clockwise");
  t.add("translate", o.translate, "at most so much of width and height");
  t.add("scale", o.scale, "factor of the size");
  t.add("shear", o.shear, "degrees, along the rows");
  t.add("interpolation", o.interpolation, "nearest or bilinear");
  t.add("fill", o.fill, "what comes in from outside; a fraction of white");
  return t;
}

OptionTable table(RandAugment& o) {
  OptionTable t;
  t.add("num_ops", o.num_ops, "how many operations, one after the other");
  t.add("magnitude", o.magnitude, "their strength, of num_magnitude_bins");
  t.add("num_magnitude_bins", o.num_magnitude_bins, "steps of the strength");
  t.add("interpolation", o.interpolation, "nearest or bilinear");
  t.add("fill", o.fill, "what comes in from outside; a fraction of white");
  return t;
}

OptionTable table(TrivialAugmentWide& o) {
  OptionTable t;
  t.add("num_magnitude_bins", o.num_magnitude_bins, "steps of the strength");
  t.add("interpolation", o.interpolation, "nearest or bilinear");
  t.add("fill", o.fill, "what comes in from outside; a fraction of white");
  return t;
}

OptionTable table(RandomErasing& o) {
  OptionTable t;
  t.add("p", o.p, "probability");
  t.add("scale", o.scale, "area of the box, as a fraction of the image's");
  t.add("ratio", o.ratio, "height / width of the box");
  t.add("value", o.value, "a fraction of white; behind Normalize the number itself");
  return t;
}

nlohmann::json to_json(const Step& step) {
  Step copy = step;
  auto json = std::visit([](auto& options) { return table(options).to_json(); }, copy);
  json["op"] = name(step);
  return json;
}

Step step_from_json(const nlohmann::json& json, const std::string& where) {
  if (!json.is_object() || !json.contains("op") || !json["op"].is_string())
    throw UsageError(where, R"(: expected an object with an "op", like {"op": "CenterCrop", "size": 224})");
  check_json_depth(json, 3, where);
  const auto op = json["op"].get<std::string>();
  std::vector<std::string> names;
  for (Step& step : all_steps()) {
    if (op != name(step)) {
      names.emplace_back(name(step));
      continue;
    }
    auto fields = json;
    fields.erase("op");
    const std::string place = where + " (" + op + ")";
    std::visit([&](auto& options) { table(options).from_json(fields, place); }, step);
    validate(step, place);
    return step;
  }
  auto hint = did_you_mean(op, names);
  if (hint.empty()) hint = "; there are " + joined(names, ", ");
  throw UsageError(where, ": there is no operation '", op, "'", hint);
}

void validate(const Step& step, const std::string& where) {
  std::visit(Overloaded{
                 [&](const RandomResizedCrop& o) {
                   check_size(o.size, where);
                   check_range("scale", o.scale, 0, 1, where);
                   check_range("ratio", o.ratio, 0, 1000, where);
                 },
                 [&](const Resize& o) { check_size(o.size, where); },
                 [&](const CenterCrop& o) { check_size(o.size, where); },
                 [&](const ColorJitter& o) {
                   check_probability(o.p, where);
                   for (const auto& [field, value, greatest] : {std::tuple{"brightness", o.brightness, 100.0},
                                                                {"contrast", o.contrast, 100.0},
                                                                {"saturation", o.saturation, 100.0},
                                                                {"hue", o.hue, 0.5}})
                     if (!(value >= 0 && value <= greatest))
                       throw UsageError(where, ": ", field, " must be in [0, ", greatest, "], not ", value);
                 },
                 [&](const GaussianBlur& o) {
                   check_probability(o.p, where);
                   check_range("sigma", o.sigma, 0, kMaxSigma, where);
                   if (o.kernel_size != 0 && (o.kernel_size < 1 || o.kernel_size > 511 || o.kernel_size % 2 == 0))
                     throw UsageError(where, ": kernel_size must be odd and at most 511, or 0, not ", o.kernel_size);
                 },
                 [&](const RandomSolarize& o) {
                   check_probability(o.p, where);
                   if (!(o.threshold >= 0 && o.threshold <= 1))
                     throw UsageError(where, ": threshold must be in [0, 1], not ", o.threshold);
                 },
                 [&](const PadShift& o) {
                   if (o.pad < 0 || o.pad > kMaxSize)
                     throw UsageError(where, ": pad must be 0 to ", kMaxSize, " pixels, not ", o.pad);
                 },
                 [&](const Normalize& o) {
                   if (o.mean.size() != o.std.size() || o.mean.empty() || o.mean.size() > 3)
                     throw UsageError(where, ": mean and std must have one number a channel, not ", o.mean.size(),
                                      " and ", o.std.size());
                   for (const double value : o.std)
                     if (!(value > 0)) throw UsageError(where, ": std must be positive, not ", value);
                 },
                 [&](const RandomRotation& o) {
                   check_closed_range("degrees", o.degrees, -360, 360, where);
                   check_fill(o.fill, where);
                 },
                 [&](const RandomAffine& o) {
                   check_closed_range("degrees", o.degrees, -360, 360, where);
                   check_closed_range("scale", o.scale, 0.001, 100, where);
                   check_closed_range("shear", o.shear, -89, 89, where);
                   for (const double part : o.translate) check_translate(part, where);
                   check_fill(o.fill, where);
                 },
                 [&](const RandAugment& o) {
                   if (o.num_ops < 1 || o.num_ops > kMaxOperations)
                     throw UsageError(where, ": num_ops must be 1 to ", kMaxOperations, ", not ", o.num_ops);
                   check_bins(o.num_magnitude_bins, where);
                   if (o.magnitude < 0 || o.magnitude >= o.num_magnitude_bins)
                     throw UsageError(where, ": magnitude must be 0 to ", o.num_magnitude_bins - 1, ", not ",
                                      o.magnitude);
                   check_fill(o.fill, where);
                 },
                 [&](const TrivialAugmentWide& o) {
                   check_bins(o.num_magnitude_bins, where);
                   check_fill(o.fill, where);
                 },
                 [&](const RandomErasing& o) {
                   check_probability(o.p, where);
                   check_range("scale", o.scale, 0, 1, where);
                   check_range("ratio", o.ratio, 0, 1000, where);
                   if (!(std::abs(o.value) <= 1000))
                     throw UsageError(where, ": value must be in [-1000, 1000], not ", o.value);
                 },
                 [](const Grayscale&) {},
                 [](const Sobel&) {},
                 [&](const auto& o) { check_probability(o.p, where); },
             },
             step);
}

OptionTable table(DrawnBox& d) {
  OptionTable t;
  t.add("x", d.x, "left column");
  t.add("y", d.y, "top row");
  t.add("width", d.width, "columns");
  t.add("height", d.height, "rows");
  return t;
}

OptionTable table(DrawnChoice& d) {
  OptionTable t;
  t.add("apply", d.apply, "whether the step happens");
  return t;
}

OptionTable table(DrawnJitter& d) {
  OptionTable t;
  t.add("apply", d.apply, "whether the step happens");
  t.add("order", d.order, "0 brightness, 1 contrast, 2 saturation, 3 hue");
  t.add("brightness", d.brightness, "factor; byol: addend");
  t.add("contrast", d.contrast, "factor");
  t.add("saturation", d.saturation, "factor");
  t.add("hue", d.hue, "turns");
  return t;
}

OptionTable table(DrawnBlur& d) {
  OptionTable t;
  t.add("apply", d.apply, "whether the step happens");
  t.add("sigma", d.sigma, "pixels");
  return t;
}

OptionTable table(DrawnShift& d) {
  OptionTable t;
  t.add("x", d.x, "pixels");
  t.add("y", d.y, "pixels");
  return t;
}

OptionTable table(DrawnAffine& d) {
  OptionTable t;
  t.add("angle", d.angle, "degrees");
  t.add("translate", d.translate, "pixels to the right and down");
  t.add("scale", d.scale, "factor");
  t.add("shear", d.shear, "degrees");
  return t;
}

OptionTable table(DrawnOperations& d) {
  OptionTable t;
  t.add("operations", d.operations, "one after the other");
  t.add("magnitudes", d.magnitudes, "of each");
  return t;
}

namespace {

/// What a step draws, before it is drawn.
Drawn blank(const Step& step) {
  return std::visit(Overloaded{
                        [](const RandomResizedCrop&) -> Drawn { return DrawnBox{}; },
                        [](const RandomHorizontalFlip&) -> Drawn { return DrawnChoice{}; },
                        [](const ColorJitter&) -> Drawn { return DrawnJitter{}; },
                        [](const RandomGrayscale&) -> Drawn { return DrawnChoice{}; },
                        [](const GaussianBlur&) -> Drawn { return DrawnBlur{}; },
                        [](const RandomSolarize&) -> Drawn { return DrawnChoice{}; },
                        [](const PadShift&) -> Drawn { return DrawnShift{}; },
                        [](const RandomRotation&) -> Drawn { return DrawnAffine{}; },
                        [](const RandomAffine&) -> Drawn { return DrawnAffine{}; },
                        [](const RandAugment&) -> Drawn { return DrawnOperations{}; },
                        [](const TrivialAugmentWide&) -> Drawn { return DrawnOperations{}; },
                        [](const RandomErasing&) -> Drawn { return DrawnErasing{}; },
                        [](const auto&) -> Drawn { return NothingDrawn{}; },
                    },
                    step);
}

}  // namespace

nlohmann::json to_json(const Drawn& drawn) {
  Drawn copy = drawn;
  return std::visit(Overloaded{
                        [](NothingDrawn&) { return nlohmann::json::object(); },
                        [](auto& values) { return table(values).to_json(); },
                    },
                    copy);
}

Drawn drawn_from_json(const Step& step, const nlohmann::json& json, const std::string& where) {
  Drawn drawn = blank(step);
  std::visit(Overloaded{
                 [&](NothingDrawn&) { OptionTable().from_json(json, where); },
                 [&](auto& values) { table(values).from_json(json, where); },
             },
             drawn);
  return drawn;
}

cv::Size size_after(const Step& step, cv::Size image) {
  return std::visit(Overloaded{
                        [](const RandomResizedCrop& o) { return fixed_size(o.size); },
                        [&](const Resize& o) {
                          return o.size.width > 0 ? fixed_size(o.size) : short_side_size(image, o.size.height);
                        },
                        [](const CenterCrop& o) { return fixed_size(o.size); },
                        [&](const auto&) { return image; },
                    },
                    step);
}

namespace {

/// Adds any operation, of that strength; -1: any.
void draw_operation(AutoSpace space, int bin, int bins, cv::Size image, Random& random, DrawnOperations& drawn) {
  const auto& names = auto_operations();
  const auto& operation = names[random.below(static_cast<std::uint32_t>(names.size()))];
  if (bin < 0) bin = static_cast<int>(random.below(static_cast<std::uint32_t>(bins)));
  const double magnitude = auto_magnitude(space, operation, bin, bins, image);
  drawn.operations.push_back(operation);
  drawn.magnitudes.push_back(auto_is_signed(operation) && random.bernoulli(0.5) ? -magnitude : magnitude);
}

}  // namespace

Drawn draw(const Step& step, cv::Size image, Random& random) {
  const auto choose = [&](double p) -> Drawn { return DrawnChoice{random.bernoulli(p)}; };
  return std::visit(Overloaded{
                        [&](const RandomResizedCrop& o) -> Drawn {
                          const auto draw_box = o.family == Family::kByol ? byol_crop_box : random_resized_crop_box;
                          const cv::Rect box =
                              draw_box(image, o.scale.low, o.scale.high, o.ratio.low, o.ratio.high, random);
                          return DrawnBox{box.x, box.y, box.width, box.height};
                        },
                        [&](const RandomHorizontalFlip& o) -> Drawn { return choose(o.p); },
                        [&](const ColorJitter& o) -> Drawn {
                          DrawnJitter drawn;
                          drawn.apply = random.bernoulli(o.p);
                          std::array<std::uint8_t, 4> order{0, 1, 2, 3};
                          random.shuffle(order);
                          std::copy(order.begin(), order.end(), drawn.order.begin());
                          const bool added = o.family == Family::kByol;
                          const auto factor = [&](double x) { return random.uniform(std::max(0.0, 1 - x), 1 + x); };
                          drawn.brightness = added ? random.uniform(-o.brightness, o.brightness) : factor(o.brightness);
                          drawn.contrast = factor(o.contrast);
                          drawn.saturation = factor(o.saturation);
                          drawn.hue = random.uniform(-o.hue, o.hue);
                          return drawn;
                        },
                        [&](const RandomGrayscale& o) -> Drawn { return choose(o.p); },
                        [&](const GaussianBlur& o) -> Drawn {
                          const bool apply = random.bernoulli(o.p);
                          return DrawnBlur{apply, random.uniform(o.sigma.low, o.sigma.high)};
                        },
                        [&](const RandomSolarize& o) -> Drawn { return choose(o.p); },
                        [&](const PadShift& o) -> Drawn {
                          const auto places = static_cast<std::uint32_t>(2 * o.pad + 1);
                          const int x = static_cast<int>(random.below(places));
                          return DrawnShift{x, static_cast<int>(random.below(places))};
                        },
                        [&](const RandomRotation& o) -> Drawn {
                          DrawnAffine drawn;
                          drawn.angle = random.uniform(o.degrees.low, o.degrees.high);
                          return drawn;
                        },
                        [&](const RandomAffine& o) -> Drawn {
                          DrawnAffine drawn;
                          drawn.angle = random.uniform(o.degrees.low, o.degrees.high);
                          for (const int axis : {0, 1}) {
                            const double most = o.translate[axis] * (axis == 0 ? image.width : image.height);
                            drawn.translate[axis] = static_cast<int>(std::lround(random.uniform(-most, most)));
                          }
                          drawn.scale = random.uniform(o.scale.low, o.scale.high);
                          drawn.shear = random.uniform(o.shear.low, o.shear.high);
                          return drawn;
                        },
                        [&](const RandAugment& o) -> Drawn {
                          DrawnOperations drawn;
                          for (int i = 0; i < o.num_ops; ++i)
                            draw_operation(AutoSpace::kRand, o.magnitude, o.num_magnitude_bins, image, random, drawn);
                          return drawn;
                        },
                        [&](const TrivialAugmentWide& o) -> Drawn {
                          DrawnOperations drawn;
                          draw_operation(AutoSpace::kTrivialWide, -1, o.num_magnitude_bins, image, random, drawn);
                          return drawn;
                        },
                        [&](const RandomErasing& o) -> Drawn {
                          if (!random.bernoulli(o.p)) return DrawnErasing{};
                          const cv::Rect box =
                              random_erasing_box(image, o.scale.low, o.scale.high, o.ratio.low, o.ratio.high, random);
                          return DrawnErasing{box.x, box.y, box.width, box.height};
                        },
                        [](const auto&) -> Drawn { return NothingDrawn{}; },
                    },
                    step);
}

namespace {

/// `least`: of width and height.
void check_box(const DrawnBox& box, int least, cv::Size image) {
  if (box.x < 0 || box.y < 0 || box.width < least || box.height < least || box.width > image.width - box.x ||
      box.height > image.height - box.y)
    throw UsageError("a box of ", box.width, " x ", box.height, " at (", box.x, ", ", box.y,
                     ") does not fit in an image of ", image.width, " x ", image.height);
}

}  // namespace

void check(const Step& step, const Drawn& drawn, cv::Size image) {
  if (drawn.index() != blank(step).index()) throw UsageError("the drawn parameters do not belong to ", name(step));
  if (const auto* box = std::get_if<DrawnBox>(&drawn)) {
    check_box(*box, 1, image);
  } else if (const auto* jitter = std::get_if<DrawnJitter>(&drawn)) {
    auto order = jitter->order;
    std::sort(order.begin(), order.end());
    if (order != std::array{0, 1, 2, 3})
      throw UsageError("the order of a ColorJitter must name 0, 1, 2 and 3 once each");
    const double least =
        std::get<ColorJitter>(step).family == Family::kTorchvision ? 0 : -1000;  // a factor, or a difference
    for (const double value : {jitter->brightness, jitter->contrast, jitter->saturation})
      if (!(value >= least && value <= 1000))
        throw UsageError("the amount ", value, " of a ColorJitter is out of range");
    if (!(std::abs(jitter->hue) <= 0.5)) throw UsageError("the hue ", jitter->hue, " of a ColorJitter is out of range");
  } else if (const auto* blur = std::get_if<DrawnBlur>(&drawn)) {
    if (blur->apply && !(blur->sigma > 0 && blur->sigma <= kMaxSigma))
      throw UsageError("the sigma ", blur->sigma, " of a GaussianBlur is out of range");
  } else if (const auto* shift = std::get_if<DrawnShift>(&drawn)) {
    const int most = 2 * std::get<PadShift>(step).pad;
    if (shift->x < 0 || shift->y < 0 || shift->x > most || shift->y > most)
      throw UsageError("the shift (", shift->x, ", ", shift->y, ") is outside [0, ", most, "]");
  } else if (const auto* affine = std::get_if<DrawnAffine>(&drawn)) {
    if (!(std::abs(affine->angle) <= 360 && affine->scale >= 0.001 && affine->scale <= 100 &&
          std::abs(affine->shear) <= 89 && std::abs(static_cast<double>(affine->translate[0])) <= 65535 &&
          std::abs(static_cast<double>(affine->translate[1])) <= 65535))
      throw UsageError("the amounts of a ", name(step), " are out of range: angle ", affine->angle, ", translate ",
                       affine->translate[0], " and ", affine->translate[1], ", scale ", affine->scale, ", shear ",
                       affine->shear);
  } else if (const auto* chosen = std::get_if<DrawnOperations>(&drawn)) {
    if (chosen->operations.size() != chosen->magnitudes.size() || chosen->operations.size() > kMaxOperations)
      throw UsageError("there are ", chosen->operations.size(), " operations and ", chosen->magnitudes.size(),
                       " magnitudes: one each is needed, and at most ", kMaxOperations);
    for (std::size_t i = 0; i < chosen->operations.size(); ++i)
      check_auto(chosen->operations[i], chosen->magnitudes[i]);
  } else if (const auto* erased = std::get_if<DrawnErasing>(&drawn)) {
    check_box(*erased, 0, image);
  }
}

}  // namespace unlabel::augment
