#include <unlabel/augment/ops/geometry.h>
#include <unlabel/augment/transforms/erase.h>
#include <unlabel/augment/transforms/work_image.h>

namespace unlabel::augment {

OptionTable table(RandomErasing& o) {
  return {{"p", o.p, "probability"},
          {"scale", o.scale, "area of the box, as a fraction of the image's"},
          {"ratio", o.ratio, "height / width of the box"},
          {"value", o.value, "a fraction of white; after Normalize the number itself"}};
}

void validate(const RandomErasing& o, const std::string& where) {
  check_range("scale", o.scale, 0, 1, where);
  check_range("ratio", o.ratio, 0, 1000, where);
  if (!(std::abs(o.value) <= 1000)) throw UsageError(where, ": value must be in [-1000, 1000], not ", o.value);
}

EraseParams make_params(const RandomErasing& o, cv::Size image, Random& random) {
  if (!random.bernoulli(o.p)) return {};
  const cv::Rect box = random_erasing_box(image, o.scale.low, o.scale.high, o.ratio.low, o.ratio.high, random);
  return {box.x, box.y, box.width, box.height};
}

void check(const RandomErasing&, const EraseParams& params, cv::Size image) { check_box(params, 0, image); }

ImageInfo info_after(const RandomErasing& o, ImageInfo info, const std::string& where) {
  if (!info.normalized && !(o.value >= 0 && o.value <= 1))
    throw UsageError(where, ": value is a fraction of white before Normalize, in [0, 1], not ", o.value);
  return info;
}

void apply(const RandomErasing& o, const EraseParams& params, WorkImage& work) {
  if (params.width == 0 || params.height == 0) return;
  work.change([&](const cv::Mat& in, cv::Mat& out) {
    if (in.data != out.data) in.copyTo(out);
    const double value = in.depth() == CV_8U ? std::round(255 * o.value) : o.value;
    out(cv::Rect(params.x, params.y, params.width, params.height)).setTo(cv::Scalar::all(value));
  });
}

}  // namespace unlabel::augment
