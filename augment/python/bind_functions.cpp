#include <unlabel/augment/error.h>
#include <unlabel/augment/ops/affine.h>
#include <unlabel/augment/ops/color.h>
#include <unlabel/augment/ops/color_byol.h>
#include <unlabel/augment/ops/filter.h>
#include <unlabel/augment/ops/geometry.h>
#include <unlabel/augment/ops/normalize.h>
#include <unlabel/augment/ops/resize.h>
#include <unlabel/augment/python/bind.h>
#include <unlabel/augment/python/convert.h>
#include <unlabel/augment/transforms/transform.h>

#include <opencv2/core.hpp>

namespace unlabel::augment::python {

using namespace nb::literals;

namespace {

/// function(in, out) for a free function on one image.
template <class Function>
nb::ndarray<nb::numpy> apply(const Pixels& in, const Function& function) {
  cv::Mat out;
  unlocked([&] { function(in.image, out); });
  return array_of(std::move(out), in.channel_axis);
}

template <class Function>
nb::ndarray<nb::numpy> apply(const ImageArgument& image, const Function& function) {
  return apply(pixels_of(image), function);
}

/// Which numbers an operation takes.
enum class Levels { kAny, kFloats, kBytes };

/// The same for an operation on colors; a gray image is treated as RGB with equal channels, as torchvision treats mode L.
template <class Function>
nb::ndarray<nb::numpy> apply_to_rgb(const ImageArgument& image, const char* name, const Function& function,
                                    Levels levels = Levels::kAny) {
  const auto pixels = pixels_of(image);
  const cv::Mat& in = pixels.image;
  if (levels == Levels::kFloats && in.depth() != CV_32F)
    throw UsageError(name, " takes float32, not uint8: divide by 255");
  if (levels == Levels::kBytes && in.depth() != CV_8U) throw UsageError(name, " takes uint8, not float32");
  if (in.channels() == 3) return apply(pixels, function);
  return apply(pixels, [&](const cv::Mat& gray, cv::Mat& out) {
    cv::Mat rgb;
    cv::merge(std::vector<cv::Mat>(3, gray), rgb);
    function(rgb, out);
    if (out.channels() == 3) cv::extractChannel(out, out, 0);
  });
}

/// The value of an enum by its name in JSON.
template <NamedEnum Enum>
Enum value_of_name(const char* argument, const std::string& name) {
  using Type = unlabel::detail::OptionType<Enum>;
  if (!Type::accepts(name)) throw UsageError(argument, " is ", Type::name(), ", not '", name, "'");
  return nlohmann::json(name).get<Enum>();
}

Interpolation interpolation_of(const std::string& name) { return value_of_name<Interpolation>("interpolation", name); }
Sampling sampling_of(const std::string& name) { return value_of_name<Sampling>("interpolation", name); }

using Operation = void (*)(const cv::Mat&, cv::Mat&);
using Adjustment = void (*)(const cv::Mat&, double, cv::Mat&);

/// Adds an operation on colors without parameters.
void def_operation(nb::module_& m, const char* name, Operation function, const char* help, Levels levels) {
  m.def(
      name,
      [name, function, levels](const ImageArgument& image) { return apply_to_rgb(image, name, function, levels); },
      "image"_a, help);
}

/// Adds an operation on colors with one number, the argument `amount`.
template <class Argument>
void def_adjustment(nb::module_& m, const char* name, Adjustment function, const Argument& amount, const char* help,
                    Levels levels = Levels::kAny) {
  m.def(
      name,
      [name, function, levels](const ImageArgument& image, double value) {
        return apply_to_rgb(
            image, name, [&](const cv::Mat& in, cv::Mat& out) { function(in, value, out); }, levels);
      },
      "image"_a, amount, help);
}

}  // namespace

void bind_functions(nb::module_& m) {
  // Functions by themselves. An image is [height, width, 3], [height, width, 1] or [height, width], uint8 or float32 in [0, 1]; the result
  // is of the same type and has the same axes unless it is said.
  m.def(
      "resize",
      [](const ImageArgument& image, const Size& size, const std::string& interpolation) {
        const auto pixels = pixels_of(image);
        const auto to = size_of(size, &pixels.image);
        const auto how = interpolation_of(interpolation);
        return apply(pixels, [&](const cv::Mat& in, cv::Mat& out) { resize(in, to, how, out); });
      },
      "image"_a, "size"_a, "interpolation"_a = "bilinear",
      "Antialiased, `bilinear` or `bicubic`; of uint8 bit-equal to Pillow's. `size` is (height, width), or the short "
      "side alone.");
  m.def(
      "center_crop",
      [](const ImageArgument& image, const Size& size) {
        return apply(image, [&, to = size_of(size)](const cv::Mat& in, cv::Mat& out) { center_crop(in, to, out); });
      },
      "image"_a, "size"_a,
      "The central (height, width) pixels, or a square; padded with zeros where the image is smaller.");
  m.def(
      "resized_crop",
      [](const ImageArgument& image, int top, int left, int height, int width, const Size& size,
         const std::string& interpolation) {
        const auto to = size_of(size);
        const auto how = interpolation_of(interpolation);
        return apply(image, [&](const cv::Mat& in, cv::Mat& out) {
          check(RandomResizedCrop{}, CropParams{left, top, width, height}, in.size());
          resize(in({left, top, width, height}), to, how, out);
        });
      },
      "image"_a, "top"_a, "left"_a, "height"_a, "width"_a, "size"_a, "interpolation"_a = "bilinear",
      "A box of the image, resized to (height, width) or to a square as `resize` does. The box must lie in the image.");
  m.def(
      "random_resized_crop_box",
      [](const HeightWidth& size, const Key& key, int view, const Pair& scale, const Pair& ratio) {
        const RandomResizedCrop step{.scale = {std::get<0>(scale), std::get<1>(scale)},
                                     .ratio = {std::get<0>(ratio), std::get<1>(ratio)}};
        validate(step, "random_resized_crop_box");
        if (view < 0) throw UsageError("there is no view ", view);
        Random random(key_of(key, view));
        const auto box = make_params(step, size_of(size), random);
        return std::tuple(box.y, box.x, box.height, box.width);
      },
      "size"_a, "key"_a, "view"_a = 0, "scale"_a = Pair(0.08, 1.0), "ratio"_a = Pair(3.0 / 4, 4.0 / 3),
      "Draws (top, left, height, width) of a random resized crop of an image of (height, width), as a pipeline that "
      "begins with one draws it for that key and view.\n"
      "Its area is H W U(scale), width / height is exp U(log ratio), its place uniform; what does not fit is drawn "
      "again, ten times, then the center. 0 < scale <= 1, 0 < ratio <= 1000.");
  m.def(
      "horizontal_flip", [](const ImageArgument& image) { return apply(image, horizontal_flip); }, "image"_a,
      "Mirrors left and right.");
  m.def(
      "pad_shift",
      [](const ImageArgument& image, int pad, int x, int y) {
        validate(RandomShift{pad}, "pad_shift");
        return apply(image, [&](const cv::Mat& in, cv::Mat& out) { pad_shift(in, pad, x, y, out); });
      },
      "image"_a, "pad"_a, "x"_a, "y"_a,
      "DrQ's shift: every side is padded by `pad` pixels that repeat the border, and the old size is cropped at (x, "
      "y), both in [0, 2 pad]; (pad, pad) moves nothing. Of whole batches: `random_shift`.");

  def_adjustment(m, "adjust_brightness", adjust_brightness, "factor"_a,
                 "factor * image. The factor is finite and >= 0.");
  def_adjustment(m, "adjust_contrast", adjust_contrast, "factor"_a,
                 "factor * image + (1 - factor) * the mean of its gray. The factor is finite and >= 0.");
  def_adjustment(m, "adjust_saturation", adjust_saturation, "factor"_a,
                 "factor * image + (1 - factor) * gray. The factor is finite and >= 0.");
  def_adjustment(m, "adjust_hue", adjust_hue, "shift"_a, "Turns the hue by `shift` turns, -0.5 to 0.5, in HSV.");
  def_adjustment(m, "byol_adjust_brightness", byol::adjust_brightness, "delta"_a,
                 "BYOL's: image + delta, clamped to [0, 1]. float32 only.", Levels::kFloats);
  def_adjustment(
      m, "byol_adjust_contrast", byol::adjust_contrast, "factor"_a,
      "BYOL's: factor * (image - m) + m, where m is the mean of each channel, clamped to [0, 1]. float32 only.",
      Levels::kFloats);
  def_adjustment(m, "byol_adjust_saturation", byol::adjust_saturation, "factor"_a,
                 "BYOL's: S of HSV times factor, clamped to [0, 1]. float32 only.", Levels::kFloats);
  def_adjustment(m, "byol_adjust_hue", byol::adjust_hue, "delta"_a,
                 "BYOL's: H of HSV plus `delta` turns. float32 only.", Levels::kFloats);
  m.def(
      "grayscale",
      [](const ImageArgument& image) {
        const auto pixels = pixels_of(image);
        if (pixels.image.channels() == 3) return apply(pixels, grayscale);
        return apply(pixels, [](const cv::Mat& in, cv::Mat& out) { cv::merge(std::vector<cv::Mat>(3, in), out); });
      },
      "image"_a, ".299 R + .587 G + .114 B, still three channels.");
  m.def(
      "to_gray",
      [](const ImageArgument& image) {
        auto pixels = pixels_of(image);
        pixels.channel_axis = false;
        return apply(pixels, [](const cv::Mat& in, cv::Mat& out) {
          if (in.channels() == 3) return to_gray(in, out);
          in.copyTo(out);
        });
      },
      "image"_a, ".299 R + .587 G + .114 B as one channel, [height, width].");
  def_adjustment(
      m, "solarize", solarize, "threshold"_a = 0.5,
      "x < threshold ? x : 1 - x, where 1 is white: inverts levels above the threshold, a fraction of white.");
  m.def(
      "posterize",
      [](const ImageArgument& image, int bits) {
        return apply_to_rgb(
            image, "posterize", [&](const cv::Mat& in, cv::Mat& out) { posterize(in, bits, out); }, Levels::kBytes);
      },
      "image"_a, "bits"_a, "Keeps the uppermost 0 to 8 bits of each value. uint8 only.");
  def_operation(m, "autocontrast", autocontrast, "Stretches each channel to 0 to 255. uint8 only.", Levels::kBytes);
  def_operation(m, "equalize", equalize, "Equalizes the histogram of each channel. uint8 only.", Levels::kBytes);
  def_operation(m, "sobel", sobel,
                "DeepCluster's input: of the channels' mean [1 0 -1; 2 0 -2; 1 0 -1] and its transpose, zeros outside. "
                "float32, normalized, to float32 [height, width, 2].",
                Levels::kFloats);
  def_adjustment(m, "adjust_sharpness", adjust_sharpness, "factor"_a,
                 "smoothed + factor * (image - smoothed). uint8 only; the factor is finite and >= 0.", Levels::kBytes);
  m.def(
      "rotate",
      [](const ImageArgument& image, double angle, const std::string& interpolation, double fill) {
        return apply(image, [&](const cv::Mat& in, cv::Mat& out) {
          affine(in, rotation_matrix(angle, in.size()), sampling_of(interpolation), fill, out);
        });
      },
      "image"_a, "angle"_a, "interpolation"_a = "nearest", "fill"_a = 0.0,
      "Rotates about the center, counter-clockwise by degrees; pixels from outside are `fill`, a fraction of white. "
      "interpolation: `nearest` or `bilinear`.");
  m.def(
      "affine",
      [](const ImageArgument& image, double angle, const Pair& translate, double scale, const Shear& shear,
         const std::string& interpolation, double fill) {
        if (!(scale > 0)) throw UsageError("affine: the scale must be above 0, not ", scale);
        const double* along = std::get_if<double>(&shear);
        const auto [shear_x, shear_y] = along ? Pair(*along, 0) : std::get<Pair>(shear);
        return apply(image, [&, shear_x = shear_x, shear_y = shear_y](const cv::Mat& in, cv::Mat& out) {
          const AffineChange change{angle, {std::get<0>(translate), std::get<1>(translate)}, scale, shear_x, shear_y};
          affine(in, affine_matrix(change, {in.cols * 0.5, in.rows * 0.5}), sampling_of(interpolation), fill, out);
        });
      },
      "image"_a, "angle"_a = 0.0, "translate"_a = Pair(0, 0), "scale"_a = 1.0, "shear"_a = Shear(0.0),
      "interpolation"_a = "nearest", "fill"_a = 0.0,
      "Shears by degrees along rows (or (rows, columns)), scales, turns clockwise by degrees about the middle, then "
      "moves by pixels to the right and down; as `rotate` otherwise.");
  m.def(
      "augment_op",
      [](const ImageArgument& image, const std::string& operation, double magnitude, const std::string& interpolation,
         double fill) {
        return apply_to_rgb(
            image, "augment_op",
            [&](const cv::Mat& in, cv::Mat& out) {
              apply_auto(in, operation, magnitude, sampling_of(interpolation), fill, out);
            },
            Levels::kBytes);
      },
      "image"_a, "operation"_a, "magnitude"_a = 0.0, "interpolation"_a = "nearest", "fill"_a = 0.0,
      "An operation of RandAugment by torchvision's name (`ShearX`, `Posterize` ...), with its magnitude: a tangent, "
      "pixels, degrees, a difference from the factor 1, bits or a level. uint8 only.");
  m.def(
      "gaussian_blur",
      [](const ImageArgument& image, double sigma, int kernel_size, const std::string& border) {
        return apply(image, [&](const cv::Mat& in, cv::Mat& out) {
          gaussian_blur(in, sigma, kernel_size, value_of_name<Border>("border", border), out);
        });
      },
      "image"_a, "sigma"_a, "kernel_size"_a = 0, "border"_a = "reflect",
      "Weights exp(-x^2 / 2 sigma^2) that sum to 1, 0 < sigma <= 1000 pixels. kernel_size: taps, odd; 0: as many as "
      "matter, 2 ceil(3.5 sigma) + 1. border: `reflect` (torchvision's) or `zero` (BYOL's).");
  m.def(
      "normalize",
      [](const ImageArgument& image, const std::vector<double>& mean, const std::vector<double>& std) {
        return apply(image, [&](const cv::Mat& in, cv::Mat& out) {
          validate(Normalize{mean, std}, "normalize");
          to_float(in, out);
          normalize(out, mean, std, out);
        });
      },
      "image"_a, "mean"_a, "std"_a,
      "(x - mean) / std by channel, of levels in [0, 1]: float32, [height, width, channels]. std must be positive.");
  m.def(
      "to_planes",
      [](const ImageArgument& image, const std::vector<double>& mean, const std::vector<double>& std) {
        const auto pixels = pixels_of(image);
        const cv::Mat& in = pixels.image;
        if (!mean.empty() || !std.empty()) validate(Normalize{mean, std}, "to_planes");
        cv::Mat planes(in.channels() * in.rows, in.cols, CV_32F);
        unlocked([&] { to_planes(in, mean, std, planes.ptr<float>()); });
        const auto rows = static_cast<std::size_t>(in.rows), columns = static_cast<std::size_t>(in.cols);
        return nb::cast(array_of(std::move(planes))).attr("reshape")(in.channels(), rows, columns);
      },
      "image"_a, "mean"_a = std::vector<double>(), "std"_a = std::vector<double>(),
      "As torchvision's ToTensor and Normalize: float32 [channels, height, width] of levels in [0, 1], then (x - mean) "
      "/ std where they are given.");
}

}  // namespace unlabel::augment::python
