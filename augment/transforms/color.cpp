#include <unlabel/augment/ops/color.h>
#include <unlabel/augment/ops/color_byol.h>
#include <unlabel/augment/transforms/color.h>
#include <unlabel/augment/transforms/work_image.h>

#include <algorithm>
#include <tuple>

namespace unlabel::augment {

// ---- ColorJitter ----

OptionTable table(ColorJitter& o) {
  return {{"p", o.p, "probability to do anything"},
          {"brightness", o.brightness, "greatest change of brightness"},
          {"contrast", o.contrast, "greatest change of contrast"},
          {"saturation", o.saturation, "greatest change of saturation"},
          {"hue", o.hue, "greatest change of hue, in turns (at most 0.5)"},
          {"family", o.family, "definition of the operations: torchvision or byol"}};
}

OptionTable table(JitterParams& d) {
  return {{"apply", d.apply, "whether it is applied"},
          {"order", d.order, "0 brightness, 1 contrast, 2 saturation, 3 hue"},
          {"brightness", d.brightness, "factor; byol: addend"},
          {"contrast", d.contrast, "factor"},
          {"saturation", d.saturation, "factor"},
          {"hue", d.hue, "turns"}};
}

void validate(const ColorJitter& o, const std::string& where) {
  for (const auto& [field, value, greatest] : {std::tuple{"brightness", o.brightness, 100.0},
                                               {"contrast", o.contrast, 100.0},
                                               {"saturation", o.saturation, 100.0},
                                               {"hue", o.hue, 0.5}})
    if (!(value >= 0 && value <= greatest))
      throw UsageError(where, ": ", field, " must be in [0, ", greatest, "], not ", value);
}

JitterParams make_params(const ColorJitter& o, cv::Size, Random& random) {
  // All numbers are drawn whether or not they are applied, so that later steps get the same random numbers.
  JitterParams params;
  params.apply = random.bernoulli(o.p);
  std::array<std::uint8_t, 4> order{0, 1, 2, 3};
  random.shuffle(order);
  std::copy(order.begin(), order.end(), params.order.begin());
  const bool added = o.family == Family::kByol;
  const auto factor = [&](double x) { return random.uniform(std::max(0.0, 1 - x), 1 + x); };
  params.brightness = added ? random.uniform(-o.brightness, o.brightness) : factor(o.brightness);
  params.contrast = factor(o.contrast);
  params.saturation = factor(o.saturation);
  params.hue = random.uniform(-o.hue, o.hue);
  return params;
}

void check(const ColorJitter& o, const JitterParams& params, cv::Size) {
  auto order = params.order;
  std::sort(order.begin(), order.end());
  if (order != std::array{0, 1, 2, 3}) throw UsageError("the order of a ColorJitter must name 0, 1, 2 and 3 once each");
  const double least = o.family == Family::kTorchvision ? 0 : -1000;  // a factor, or a difference
  for (const double value : {params.brightness, params.contrast, params.saturation})
    if (!(value >= least && value <= 1000)) throw UsageError("the amount ", value, " of a ColorJitter is out of range");
  if (!(std::abs(params.hue) <= 0.5)) throw UsageError("the hue ", params.hue, " of a ColorJitter is out of range");
}

ImageInfo info_after(const ColorJitter& o, ImageInfo info, const std::string&) {
  info.floats = info.floats || o.family == Family::kByol;
  return info;
}

void apply(const ColorJitter& o, const JitterParams& params, WorkImage& work) {
  const bool byol = o.family == Family::kByol;
  if (byol) work.make_float();  // also when nothing is applied: results have one type
  if (!params.apply) return;
  for (const int operation : params.order) {
    work.change([&](const cv::Mat& in, cv::Mat& out) {
      switch (operation) {
        case 0:
          if (o.brightness > 0) return (byol ? byol::adjust_brightness : adjust_brightness)(in, params.brightness, out);
          break;
        case 1:
          if (o.contrast > 0) return (byol ? byol::adjust_contrast : adjust_contrast)(in, params.contrast, out);
          break;
        case 2:
          if (o.saturation > 0) return (byol ? byol::adjust_saturation : adjust_saturation)(in, params.saturation, out);
          break;
        default:
          if (o.hue > 0) return (byol ? byol::adjust_hue : adjust_hue)(in, params.hue, out);
      }
      if (in.data != out.data) in.copyTo(out);  // an operation of no strength
    });
  }
}

// ---- RandomGrayscale, Grayscale ----

OptionTable table(RandomGrayscale& o) { return {{"p", o.p, "probability"}}; }

ApplyParams make_params(const RandomGrayscale& o, cv::Size, Random& random) { return {random.bernoulli(o.p)}; }

void apply(const RandomGrayscale&, const ApplyParams& params, WorkImage& work) {
  if (params.apply) work.change(grayscale);
}

OptionTable table(Grayscale&) { return {}; }

ImageInfo info_after(const Grayscale&, ImageInfo info, const std::string&) {
  info.channels = 1;
  return info;
}

void apply(const Grayscale&, const NoParams&, WorkImage& work) {
  work.make(work.size(), CV_MAKETYPE(work.image().depth(), 1), to_gray);
}

// ---- RandomSolarize ----

OptionTable table(RandomSolarize& o) {
  return {{"threshold", o.threshold, "levels above are inverted; a fraction of white"}, {"p", o.p, "probability"}};
}

void validate(const RandomSolarize& o, const std::string& where) {
  if (!(o.threshold >= 0 && o.threshold <= 1))
    throw UsageError(where, ": threshold must be in [0, 1], not ", o.threshold);
}

ApplyParams make_params(const RandomSolarize& o, cv::Size, Random& random) { return {random.bernoulli(o.p)}; }

void apply(const RandomSolarize& o, const ApplyParams& params, WorkImage& work) {
  if (params.apply) work.change([&](const cv::Mat& in, cv::Mat& out) { solarize(in, o.threshold, out); });
}

}  // namespace unlabel::augment
