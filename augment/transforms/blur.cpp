#include <unlabel/augment/transforms/blur.h>
#include <unlabel/augment/transforms/work_image.h>

namespace unlabel::augment {

namespace {

constexpr double kMaxSigma = 64;

}  // namespace

// ---- GaussianBlur ----

OptionTable table(GaussianBlur& o) {
  return {{"p", o.p, "probability"},
          {"sigma", o.sigma, "standard deviation in pixels"},
          {"kernel_size", o.kernel_size, "taps, odd; 0: by sigma"},
          {"border", o.border, "pixels beyond the image: reflect or zero"}};
}

OptionTable table(BlurParams& d) { return {{"apply", d.apply, "whether it is applied"}, {"sigma", d.sigma, "pixels"}}; }

void validate(const GaussianBlur& o, const std::string& where) {
  check_range("sigma", o.sigma, 0, kMaxSigma, where);
  if (o.kernel_size != 0 && (o.kernel_size < 1 || o.kernel_size > 511 || o.kernel_size % 2 == 0))
    throw UsageError(where, ": kernel_size must be odd and at most 511, or 0, not ", o.kernel_size);
}

BlurParams make_params(const GaussianBlur& o, cv::Size, Random& random) {
  const bool apply = random.bernoulli(o.p);
  return {apply, random.uniform(o.sigma.low, o.sigma.high)};
}

void check(const GaussianBlur&, const BlurParams& params, cv::Size) {
  if (params.apply && !(params.sigma > 0 && params.sigma <= kMaxSigma))
    throw UsageError("the sigma ", params.sigma, " of a GaussianBlur is out of range");
}

void apply(const GaussianBlur& o, const BlurParams& params, WorkImage& work) {
  if (params.apply)
    work.change(
        [&](const cv::Mat& in, cv::Mat& out) { gaussian_blur(in, params.sigma, o.kernel_size, o.border, out); });
}

// ---- Sobel ----

OptionTable table(Sobel&) { return {}; }

ImageInfo info_after(const Sobel&, ImageInfo info, const std::string&) {
  info.channels = 2;
  info.normalized = true;  // edges are not colors
  return info;
}

void apply(const Sobel&, const NoParams&, WorkImage& work) {
  work.make_float();
  work.make(work.size(), CV_32FC2, sobel);
}

}  // namespace unlabel::augment
