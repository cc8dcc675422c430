#include <unlabel/augment/ops/geometry.h>
#include <unlabel/augment/transforms/flip_rotate.h>
#include <unlabel/augment/transforms/work_image.h>

namespace unlabel::augment {

namespace {

/// low <= range.low <= range.high <= high.
void check_closed_range(const char* field, Range range, double low, double high, const std::string& where) {
  if (!(range.low >= low && range.low <= range.high && range.high <= high))
    throw UsageError(where, ": ", field, " must rise within [", low, ", ", high, "], not [", range.low, ", ",
                     range.high, "]");
}

/// The parameters that valid options can give, for an image of at most 65,535 pixels a side.
void check_amounts(const char* step, const AffineParams& params) {
  if (!(std::abs(params.angle) <= 360 && params.scale >= 0.001 && params.scale <= 100 && std::abs(params.shear) <= 89 &&
        std::abs(static_cast<double>(params.translate[0])) <= 65535 &&
        std::abs(static_cast<double>(params.translate[1])) <= 65535))
    throw UsageError("the amounts of a ", step, " are out of range: angle ", params.angle, ", translate ",
                     params.translate[0], " and ", params.translate[1], ", scale ", params.scale, ", shear ",
                     params.shear);
}

}  // namespace

// ---- RandomHorizontalFlip ----

OptionTable table(RandomHorizontalFlip& o) { return {{"p", o.p, "probability"}}; }

ApplyParams make_params(const RandomHorizontalFlip& o, cv::Size, Random& random) { return {random.bernoulli(o.p)}; }

void apply(const RandomHorizontalFlip&, const ApplyParams& params, WorkImage& work) {
  if (params.apply) work.change(horizontal_flip);
}

// ---- RandomRotation ----

OptionTable table(AffineParams& d) {
  return {{"angle", d.angle, "degrees"},
          {"translate", d.translate, "pixels to the right and down"},
          {"scale", d.scale, "factor"},
          {"shear", d.shear, "degrees"}};
}

OptionTable table(RandomRotation& o) {
  return {{"degrees", o.degrees, "counter-clockwise"},
          {"interpolation", o.interpolation, "nearest or bilinear"},
          {"fill", o.fill, "pixels from outside the image; a fraction of white"}};
}

void validate(const RandomRotation& o, const std::string& where) {
  check_closed_range("degrees", o.degrees, -360, 360, where);
  check_fill(o.fill, where);
}

AffineParams make_params(const RandomRotation& o, cv::Size, Random& random) {
  AffineParams params;
  params.angle = random.uniform(o.degrees.low, o.degrees.high);
  return params;
}

void check(const RandomRotation&, const AffineParams& params, cv::Size) {
  check_amounts(RandomRotation::kName, params);
}

void apply(const RandomRotation& o, const AffineParams& params, WorkImage& work) {
  const cv::Size size = work.size();
  work.make(size, [&](const cv::Mat& in, cv::Mat& out) {
    affine(in, rotation_matrix(params.angle, size), o.interpolation, o.fill, out);
  });
}

// ---- RandomAffine ----

OptionTable table(RandomAffine& o) {
  return {{"degrees", o.degrees, "clockwise"},
          {"translate", o.translate, "greatest fraction of the width and of the height"},
          {"scale", o.scale, "factor of the size"},
          {"shear", o.shear, "degrees, along the rows"},
          {"interpolation", o.interpolation, "nearest or bilinear"},
          {"fill", o.fill, "pixels from outside the image; a fraction of white"}};
}

void validate(const RandomAffine& o, const std::string& where) {
  check_closed_range("degrees", o.degrees, -360, 360, where);
  check_closed_range("scale", o.scale, 0.001, 100, where);
  check_closed_range("shear", o.shear, -89, 89, where);
  for (const double part : o.translate)
    if (!(part >= 0 && part <= 1))
      throw UsageError(where, ": translate is [across, down], each a fraction of the side in [0, 1], not ", part);
  check_fill(o.fill, where);
}

AffineParams make_params(const RandomAffine& o, cv::Size image, Random& random) {
  // In torchvision's order: angle, translation, scale, shear.
  AffineParams params;
  params.angle = random.uniform(o.degrees.low, o.degrees.high);
  for (const int axis : {0, 1}) {
    const double most = o.translate[axis] * (axis == 0 ? image.width : image.height);
    params.translate[axis] = static_cast<int>(std::lround(random.uniform(-most, most)));
  }
  params.scale = random.uniform(o.scale.low, o.scale.high);
  params.shear = random.uniform(o.shear.low, o.shear.high);
  return params;
}

void check(const RandomAffine&, const AffineParams& params, cv::Size) { check_amounts(RandomAffine::kName, params); }

void apply(const RandomAffine& o, const AffineParams& params, WorkImage& work) {
  const cv::Size size = work.size();
  const AffineChange change{params.angle, cv::Point2d(params.translate[0], params.translate[1]), params.scale,
                            params.shear, 0};
  work.make(size, [&](const cv::Mat& in, cv::Mat& out) {
    affine(in, affine_matrix(change, {size.width * 0.5, size.height * 0.5}), o.interpolation, o.fill, out);
  });
}

}  // namespace unlabel::augment
