#include <unlabel/augment/fused/fused_view.h>
#include <unlabel/augment/fused/view_kernel.h>
#include <unlabel/augment/scratch.h>
#include <unlabel/augment/transforms/transform.h>

namespace unlabel::augment {

namespace {

using Kind = PointOperation::Kind;

constexpr int kWidestBlur = 64;  // pixels to each side: weights of wider ones are too small for 16 bits

void add(FusedViewParams& plan, Kind kind, double value = 0) {
  plan.points[plan.point_count++] = {kind, static_cast<float>(value)};
}

/// The operations of a ColorJitter in the order of its parameters; those of strength 0 change nothing.
void add_jitter(const ColorJitter& options, const JitterParams& params, FusedViewParams& plan) {
  if (!params.apply) return;
  for (const int operation : params.order) {
    if (operation == 0 && options.brightness > 0) add(plan, Kind::kBrightness, params.brightness);
    if (operation == 1 && options.contrast > 0) add(plan, Kind::kContrast, params.contrast);
    if (operation == 2 && options.saturation > 0) add(plan, Kind::kSaturation, params.saturation);
    if (operation == 3 && options.hue > 0)
      add(plan, Kind::kHue, std::trunc(255 * params.hue));  // of 256, as PIL has it
  }
}

/// (level / 255 - mean) / std as scale * level + shift.
void set_normalization(FusedViewParams& plan, const Normalize* normalize) {
  for (std::size_t i = 0; i < 3; ++i) {
    const double mean = normalize ? normalize->mean[i] : 0, std = normalize ? normalize->std[i] : 1;
    plan.scale[i] = static_cast<float>(1 / (255 * std));
    plan.shift[i] = static_cast<float>(-mean / std);
  }
}

/// Translates the parameters of each step into those of the kernel. A flip commutes with all other operations; operations on colors before
/// the blur are done in their order, and after it only a solarize is possible (can_fuse).
void fill(FusedViewParams& plan, const Pipeline& pipeline, std::span<const TransformParams> params) {
  plan.mirror = plan.blur = plan.solarize_after_blur = false;
  plan.point_count = 0;
  set_normalization(plan, nullptr);
  for (std::size_t i = 0; i < params.size(); ++i) {
    const auto chosen = [&] { return std::get<ApplyParams>(params[i]).apply; };
    std::visit(Overloaded{
                   [&](const RandomResizedCrop& o) {
                     const auto& box = std::get<CropParams>(params[i]);
                     plan.box = {box.x, box.y, box.width, box.height};
                     plan.size = {pipeline.output_shape().width, pipeline.output_shape().height};
                     plan.interpolation = o.interpolation;
                   },
                   [&](const RandomHorizontalFlip&) {
                     if (chosen()) plan.mirror = !plan.mirror;
                   },
                   [&](const ColorJitter& o) { add_jitter(o, std::get<JitterParams>(params[i]), plan); },
                   [&](const RandomGrayscale&) {
                     if (chosen()) add(plan, Kind::kGray);
                   },
                   [&](const RandomSolarize& o) {
                     if (!chosen()) return;
                     if (plan.blur) {
                       plan.solarize_after_blur = true;
                       plan.solarize_threshold = static_cast<float>(255 * o.threshold);
                     } else {
                       add(plan, Kind::kSolarize, 255 * o.threshold);
                     }
                   },
                   [&](const GaussianBlur& o) {
                     const auto& blur = std::get<BlurParams>(params[i]);
                     if (!blur.apply) return;
                     plan.blur = true;
                     plan.blur_zero_border = o.border == Border::kZero;
                     gaussian_kernel(blur.sigma, o.kernel_size, plan.blur_weights);
                   },
                   [&](const Normalize& o) { set_normalization(plan, &o); },
                   [](const auto&) {},
               },
               pipeline.steps()[i]);
  }
}

}  // namespace

bool can_fuse(const Pipeline& pipeline) {
  // Step by step: whether the kernel knows it, and has room for it in this place.
  int points = 0, after_blur = 0;
  bool blurred = false, ended = false;
  for (std::size_t i = 0; i < pipeline.steps().size(); ++i) {
    if (ended || (i == 0) != std::holds_alternative<RandomResizedCrop>(pipeline.steps()[i])) return false;
    const bool known = std::visit(Overloaded{
                                      [](const RandomResizedCrop& o) { return o.family == Family::kTorchvision; },
                                      [](const RandomHorizontalFlip&) { return true; },
                                      [&](const ColorJitter& o) {
                                        points += 4;
                                        return !blurred && o.family == Family::kTorchvision;
                                      },
                                      [&](const RandomGrayscale&) {
                                        ++points;
                                        return !blurred;
                                      },
                                      [&](const RandomSolarize&) {
                                        ++points;
                                        after_blur += blurred ? 1 : 0;
                                        return after_blur <= 1;
                                      },
                                      [&](const GaussianBlur& o) {
                                        const bool first = !blurred;
                                        blurred = true;
                                        return first && gaussian_radius(o.sigma.high, o.kernel_size) <= kWidestBlur;
                                      },
                                      [&](const Normalize&) { return ended = true; },
                                      [](const auto&) { return false; },
                                  },
                                  pipeline.steps()[i]);
    if (!known) return false;
  }
  return !pipeline.steps().empty() && points <= FusedViewParams::kMostPoints;
}

void apply_fused(const Pipeline& pipeline, const PlanarImage& image, std::span<const TransformParams> params,
                 float* out) {
  if (!can_fuse(pipeline)) throw UsageError("this pipeline has steps that cannot be fused: use Pipeline::apply");
  pipeline.check(params, image.size);
  thread_local FusedViewParams plan;
  thread_local ViewScratch scratch;
  fill(plan, pipeline, params);
  make_view(image, plan, scratch, out);
  release_if_huge(scratch.pixels);
  release_if_huge(scratch.rows);
}

bool fused_views_are_fast() {
  static const std::string best = instruction_sets().front();
  return best != "SCALAR" && best != "EMU128";
}

}  // namespace unlabel::augment
