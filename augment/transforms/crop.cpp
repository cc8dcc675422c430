#include <unlabel/augment/ops/geometry.h>
#include <unlabel/augment/transforms/crop.h>
#include <unlabel/augment/transforms/work_image.h>

#include <algorithm>

namespace unlabel::augment {

namespace {

constexpr int kMaxSize = 8192;

cv::Size fixed_size(ImageSize size) { return {size.width > 0 ? size.width : size.height, size.height}; }

void check_size(ImageSize size, const std::string& where) {
  if (size.height < 1 || size.height > kMaxSize || size.width < 0 || size.width > kMaxSize)
    throw UsageError(where, ": size must be 1 to ", kMaxSize, " pixels, not ", nlohmann::json(size).dump());
}

/// BYOL's resize: levels become floats, clamped to [0, 1].
void sample(const RandomResizedCrop& options, cv::Size size, WorkImage& work) {
  const float white = work.is_float() ? 1 : 255;
  work.make(size, CV_MAKETYPE(CV_32F, work.image().channels()), [&](const cv::Mat& in, cv::Mat& out) {
    resize_sampled(in, size, options.interpolation, out);
    for (int y = 0; y < out.rows; ++y)
      for (int i = 0; i < out.cols * out.channels(); ++i) {
        float& value = out.ptr<float>(y)[i];
        value = std::clamp(value / white, 0.0f, 1.0f);
      }
  });
}

}  // namespace

// ---- RandomResizedCrop ----

OptionTable table(RandomResizedCrop& o) {
  return {{"size", o.size, "side of the result in pixels"},
          {"scale", o.scale, "area of the box, as a fraction of the image's"},
          {"ratio", o.ratio, "width / height of the box"},
          {"interpolation", o.interpolation, "bilinear or bicubic, both antialiased unless family is byol"},
          {"family", o.family, "definition of the crop: torchvision or byol"}};
}

void validate(const RandomResizedCrop& o, const std::string& where) {
  check_size(o.size, where);
  check_range("scale", o.scale, 0, 1, where);
  check_range("ratio", o.ratio, 0, 1000, where);
}

CropParams make_params(const RandomResizedCrop& o, cv::Size image, Random& random) {
  const auto draw_box = o.family == Family::kByol ? byol_crop_box : random_resized_crop_box;
  const cv::Rect box = draw_box(image, o.scale.low, o.scale.high, o.ratio.low, o.ratio.high, random);
  return {box.x, box.y, box.width, box.height};
}

void check(const RandomResizedCrop&, const CropParams& params, cv::Size image) { check_box(params, 1, image); }

cv::Size size_after(const RandomResizedCrop& o, cv::Size) { return fixed_size(o.size); }

ImageInfo info_after(const RandomResizedCrop& o, ImageInfo info, const std::string& where) {
  info.size = fixed_size(o.size);
  if (o.family == Family::kByol) {
    require_rgb(info, where);
    info.floats = true;
  }
  return info;
}

void apply(const RandomResizedCrop& o, const CropParams& params, WorkImage& work) {
  const cv::Size size = fixed_size(o.size);
  work.crop({params.x, params.y, params.width, params.height});
  if (o.family == Family::kByol) return sample(o, size, work);
  work.make(size, [&](const cv::Mat& in, cv::Mat& out) { resize(in, size, o.interpolation, out); });
}

// ---- Resize ----

OptionTable table(Resize& o) {
  return {{"size", o.size, "the short side, or [height, width]"},
          {"interpolation", o.interpolation, "bilinear or bicubic, both antialiased"}};
}

void validate(const Resize& o, const std::string& where) { check_size(o.size, where); }

cv::Size size_after(const Resize& o, cv::Size image) {
  return o.size.width > 0 ? fixed_size(o.size) : short_side_size(image, o.size.height);
}

ImageInfo info_after(const Resize& o, ImageInfo info, const std::string& where) {
  // Of a short side the other follows from the image, and is info only where the image's size is.
  if (o.size.width > 0 || info.size) info.size = size_after(o, info.size.value_or(cv::Size(1, 1)));
  if (info.size && std::int64_t{info.size->width} * info.size->height > kMaxPixels)
    throw UsageError(where, ": makes ", info.size->width, " x ", info.size->height, " pixels, more than ", kMaxPixels);
  return info;
}

void apply(const Resize& o, const NoParams&, WorkImage& work) {
  const cv::Size before = work.size(), size = size_after(o, before);
  if (std::int64_t{size.width} * size.height > kMaxPixels) refuse_pixels(before, size);
  if (size != before) work.make(size, [&](const cv::Mat& in, cv::Mat& out) { resize(in, size, o.interpolation, out); });
}

// ---- CenterCrop ----

OptionTable table(CenterCrop& o) { return {{"size", o.size, "side of the result in pixels"}}; }

void validate(const CenterCrop& o, const std::string& where) { check_size(o.size, where); }

cv::Size size_after(const CenterCrop& o, cv::Size) { return fixed_size(o.size); }

ImageInfo info_after(const CenterCrop& o, ImageInfo info, const std::string&) {
  info.size = fixed_size(o.size);
  return info;
}

void apply(const CenterCrop& o, const NoParams&, WorkImage& work) {
  const cv::Size size = fixed_size(o.size);
  if (size != work.size()) work.make(size, [&](const cv::Mat& in, cv::Mat& out) { center_crop(in, size, out); });
}

void apply(const Resize& resize, const CenterCrop& crop, WorkImage& work) {
  const cv::Size resized = size_after(resize, work.size()), size = fixed_size(crop.size);
  const cv::Rect wanted = center_crop_box(resized, size), there = wanted & cv::Rect({0, 0}, resized);
  work.make(size, [&](const cv::Mat& in, cv::Mat& out) {
    if (there.size() != size) out.setTo(cv::Scalar::all(0));
    cv::Mat target = out(there - wanted.tl());
    resize_region(in, resized, there, resize.interpolation, target);
  });
}

// ---- RandomShift ----

OptionTable table(RandomShift& o) { return {{"pad", o.pad, "greatest shift in pixels"}}; }

OptionTable table(ShiftParams& d) { return {{"x", d.x, "pixels"}, {"y", d.y, "pixels"}}; }

void validate(const RandomShift& o, const std::string& where) {
  if (o.pad < 0 || o.pad > kMaxSize) throw UsageError(where, ": pad must be 0 to ", kMaxSize, " pixels, not ", o.pad);
}

ShiftParams make_params(const RandomShift& o, cv::Size, Random& random) {
  const auto places = static_cast<std::uint32_t>(2 * o.pad + 1);
  const int x = static_cast<int>(random.below(places));
  return {x, static_cast<int>(random.below(places))};
}

void check(const RandomShift& o, const ShiftParams& params, cv::Size) {
  const int most = 2 * o.pad;
  if (params.x < 0 || params.y < 0 || params.x > most || params.y > most)
    throw UsageError("the shift (", params.x, ", ", params.y, ") is outside [0, ", most, "]");
}

void apply(const RandomShift& o, const ShiftParams& params, WorkImage& work) {
  work.make(work.size(), [&](const cv::Mat& in, cv::Mat& out) { pad_shift(in, o.pad, params.x, params.y, out); });
}

}  // namespace unlabel::augment
