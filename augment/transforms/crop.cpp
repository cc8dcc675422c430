#include <unlabel/augment/error.h>
#include <unlabel/augment/ops/geometry.h>
#include <unlabel/augment/ops/resize.h>
#include <unlabel/augment/transforms/crop.h>
#include <unlabel/augment/transforms/work.h>

#include <algorithm>
#include <cstdint>

namespace unlabel::augment {

namespace {

constexpr int kMaxSize = 8192;

cv::Size fixed_size(ImageSize size) { return {size.width > 0 ? size.width : size.height, size.height}; }

void check_size(ImageSize size, const std::string& where) {
  if (size.height < 1 || size.height > kMaxSize || size.width < 0 || size.width > kMaxSize)
    throw UsageError(where, ": size must be 1 to ", kMaxSize, " pixels, not ", nlohmann::json(size).dump());
}

/// BYOL's resize: levels become floats, and what overshoots is cut off.
void sample(const RandomResizedCrop& options, cv::Size size, Work& work) {
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
  OptionTable t;
  t.add("size", o.size, "side of the result in pixels");
  t.add("scale", o.scale, "area of the box, as a fraction of the image's");
  t.add("ratio", o.ratio, "width / height of the box");
  t.add("interpolation", o.interpolation, "bilinear or bicubic, both antialiased unless family is byol");
  t.add("family", o.family, "whose definitions: torchvision or byol");
  return t;
}

void validate(const RandomResizedCrop& o, const std::string& where) {
  check_size(o.size, where);
  check_range("scale", o.scale, 0, 1, where);
  check_range("ratio", o.ratio, 0, 1000, where);
}

DrawnBox draw(const RandomResizedCrop& o, cv::Size image, Random& random) {
  const auto draw_box = o.family == Family::kByol ? byol_crop_box : random_resized_crop_box;
  const cv::Rect box = draw_box(image, o.scale.low, o.scale.high, o.ratio.low, o.ratio.high, random);
  return {box.x, box.y, box.width, box.height};
}

void check(const RandomResizedCrop&, const DrawnBox& drawn, cv::Size image) { check_box(drawn, 1, image); }

cv::Size size_after(const RandomResizedCrop& o, cv::Size) { return fixed_size(o.size); }

Known after(const RandomResizedCrop& o, Known known, const std::string& where) {
  known.size = fixed_size(o.size);
  if (o.family == Family::kByol) {
    require_rgb(known, where);
    known.floats = true;
  }
  return known;
}

void apply(const RandomResizedCrop& o, const DrawnBox& drawn, Work& work) {
  const cv::Size size = fixed_size(o.size);
  work.narrow({drawn.x, drawn.y, drawn.width, drawn.height});
  if (o.family == Family::kByol) return sample(o, size, work);
  work.make(size, [&](const cv::Mat& in, cv::Mat& out) { resize(in, size, o.interpolation, out); });
}

// ---- Resize ----

OptionTable table(Resize& o) {
  OptionTable t;
  t.add("size", o.size, "the short side, or [height, width]");
  t.add("interpolation", o.interpolation, "bilinear or bicubic, both antialiased");
  return t;
}

void validate(const Resize& o, const std::string& where) { check_size(o.size, where); }

cv::Size size_after(const Resize& o, cv::Size image) {
  return o.size.width > 0 ? fixed_size(o.size) : short_side_size(image, o.size.height);
}

Known after(const Resize& o, Known known, const std::string& where) {
  // Of a short side the other follows from the image, and is known only where the image's size is.
  if (o.size.width > 0 || known.size) known.size = size_after(o, known.size.value_or(cv::Size(1, 1)));
  if (known.size && std::int64_t{known.size->width} * known.size->height > kMaxPixels)
    throw UsageError(where, ": makes ", known.size->width, " x ", known.size->height, " pixels, more than ",
                     kMaxPixels);
  return known;
}

void apply(const Resize& o, const NothingDrawn&, Work& work) {
  const cv::Size before = work.size(), size = size_after(o, before);
  if (std::int64_t{size.width} * size.height > kMaxPixels) refuse_pixels(before, size);
  if (size != before) work.make(size, [&](const cv::Mat& in, cv::Mat& out) { resize(in, size, o.interpolation, out); });
}

// ---- CenterCrop ----

OptionTable table(CenterCrop& o) {
  OptionTable t;
  t.add("size", o.size, "side of the result in pixels");
  return t;
}

void validate(const CenterCrop& o, const std::string& where) { check_size(o.size, where); }

cv::Size size_after(const CenterCrop& o, cv::Size) { return fixed_size(o.size); }

Known after(const CenterCrop& o, Known known, const std::string&) {
  known.size = fixed_size(o.size);
  return known;
}

void apply(const CenterCrop& o, const NothingDrawn&, Work& work) {
  const cv::Size size = fixed_size(o.size);
  if (size != work.size()) work.make(size, [&](const cv::Mat& in, cv::Mat& out) { center_crop(in, size, out); });
}

void apply(const Resize& resize, const CenterCrop& crop, Work& work) {
  const cv::Size resized = size_after(resize, work.size()), size = fixed_size(crop.size);
  const cv::Rect wanted = center_crop_box(resized, size), there = wanted & cv::Rect({0, 0}, resized);
  work.make(size, [&](const cv::Mat& in, cv::Mat& out) {
    if (there.size() != size) out.setTo(cv::Scalar::all(0));
    cv::Mat target = out(there - wanted.tl());
    resize_region(in, resized, there, resize.interpolation, target);
  });
}

// ---- PadShift ----

OptionTable table(PadShift& o) {
  OptionTable t;
  t.add("pad", o.pad, "greatest shift in pixels");
  return t;
}

OptionTable table(DrawnShift& d) {
  OptionTable t;
  t.add("x", d.x, "pixels");
  t.add("y", d.y, "pixels");
  return t;
}

void validate(const PadShift& o, const std::string& where) {
  if (o.pad < 0 || o.pad > kMaxSize) throw UsageError(where, ": pad must be 0 to ", kMaxSize, " pixels, not ", o.pad);
}

DrawnShift draw(const PadShift& o, cv::Size, Random& random) {
  const auto places = static_cast<std::uint32_t>(2 * o.pad + 1);
  const int x = static_cast<int>(random.below(places));
  return {x, static_cast<int>(random.below(places))};
}

void check(const PadShift& o, const DrawnShift& drawn, cv::Size) {
  const int most = 2 * o.pad;
  if (drawn.x < 0 || drawn.y < 0 || drawn.x > most || drawn.y > most)
    throw UsageError("the shift (", drawn.x, ", ", drawn.y, ") is outside [0, ", most, "]");
}

void apply(const PadShift& o, const DrawnShift& drawn, Work& work) {
  work.make(work.size(), [&](const cv::Mat& in, cv::Mat& out) { pad_shift(in, o.pad, drawn.x, drawn.y, out); });
}

}  // namespace unlabel::augment
