#include <unlabel/augment/codec/levels.h>
#include <unlabel/augment/preview/contact_sheet.h>
#include <unlabel/augment/transforms/presets.h>
#include <unlabel/augment/transforms/transform.h>

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include <algorithm>

namespace unlabel::augment {

namespace {

constexpr int kColumns = 4, kTile = 240, kGap = 12, kLine = 16;
constexpr double kLetters = 0.4;

std::string number(double value, int digits = 2) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

/// Distinct hues, one a view.
cv::Scalar color_of(int view) {
  const double hue = std::fmod(view * 0.618034, 1.0) * 6;
  const auto ramp = [&](double center) { return 255 * std::clamp(2 - std::abs(hue - center), 0.0, 1.0); };
  return {255 - std::clamp(2 - std::abs(hue - 3), 0.0, 1.0) * 255, ramp(2) * 0.85, ramp(4)};
}

void write_line(cv::Mat& sheet, const std::string& text, cv::Point at) {
  cv::putText(sheet, text, at, cv::FONT_HERSHEY_SIMPLEX, kLetters, cv::Scalar::all(20), 1, cv::LINE_AA);
}

/// Resized to fit into a square of that side; small views are enlarged by whole factors, so that their pixels can be seen.
cv::Mat fitted(const cv::Mat& picture, int side) {
  const int longest = std::max(picture.rows, picture.cols);
  const int whole = side / longest;
  cv::Mat out;
  if (whole == 0) {
    const auto scaled = [&](int length) {
      return std::max(1, static_cast<int>(std::lround(static_cast<double>(length) * side / longest)));
    };
    resize(picture, {scaled(picture.cols), scaled(picture.rows)}, Interpolation::kBilinear, out);
    return out;
  }
  out.create(picture.size() * whole, picture.type());
  const std::size_t pixel = picture.elemSize();
  for (int y = 0; y < out.rows; ++y)
    for (int x = 0; x < out.cols; ++x) std::copy_n(picture.ptr(y / whole, x / whole), pixel, out.ptr(y, x));
  return out;
}

/// The box of the first RandomResizedCrop in pixels of the original image, which earlier steps may have resized or cropped.
std::optional<cv::Rect2d> cropped(const Pipeline& pipeline, std::span<const TransformParams> params, cv::Size image) {
  cv::Rect2d seen({0, 0}, cv::Size2d(image));  // of the image, by what `size` pixels show
  cv::Size size = image;
  const auto narrow = [&](double x, double y, double width, double height) {
    const double across = seen.width / size.width, down = seen.height / size.height;
    seen = {seen.x + x * across, seen.y + y * down, width * across, height * down};
  };
  for (std::size_t i = 0; i < params.size(); ++i) {
    const auto& step = pipeline.steps()[i];
    if (const auto* box = std::get_if<CropParams>(&params[i])) {
      narrow(box->x, box->y, box->width, box->height);
      return seen;
    }
    const cv::Size next = size_after(step, size);
    if (std::holds_alternative<CenterCrop>(step))
      narrow((size.width - next.width) / 2.0, (size.height - next.height) / 2.0, next.width, next.height);
    size = next;
  }
  return std::nullopt;
}

}  // namespace

cv::Mat picture_of(const Pipeline& pipeline, const float* view) {
  const auto shape = pipeline.output_shape();
  const auto* normalize = find_normalize(pipeline);
  const int channels = shape.channels == 3 ? 3 : 1;
  std::vector<cv::Mat> planes(channels);
  for (int c = 0; c < channels; ++c) {
    const cv::Mat plane(shape.height, shape.width, CV_32F,
                        const_cast<float*>(view) + static_cast<std::ptrdiff_t>(c) * shape.height * shape.width);
    if (shape.channels == 2) {
      cv::normalize(plane, planes[c], 0, 255, cv::NORM_MINMAX, CV_8U);
    } else {
      const double std = normalize ? normalize->std[c] : 1, mean = normalize ? normalize->mean[c] : 0;
      plane.convertTo(planes[c], CV_8U, 255 * std, 255 * mean);
    }
  }
  cv::Mat picture;
  cv::merge(planes, picture);
  return picture;
}

std::vector<std::string> describe(const Pipeline& pipeline, std::span<const TransformParams> params) {
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < params.size(); ++i) {
    const std::string step(name(pipeline.steps()[i]));
    std::visit(Overloaded{
                   [&](const CropParams& d) {
                     lines.push_back(concat("crop ", d.width, " x ", d.height, " at (", d.x, ", ", d.y, ")"));
                   },
                   [&](const ApplyParams& d) {
                     if (d.apply) lines.push_back(step);
                   },
                   [&](const JitterParams& d) {
                     if (!d.apply) return;
                     const std::pair<const char*, double> amounts[] = {{"brightness ", d.brightness},
                                                                       {"contrast ", d.contrast},
                                                                       {"saturation ", d.saturation},
                                                                       {"hue ", d.hue}};
                     for (const int operation : d.order)
                       lines.push_back(amounts[operation].first + number(amounts[operation].second));
                   },
                   [&](const BlurParams& d) {
                     if (d.apply) lines.push_back("blur, sigma " + number(d.sigma));
                   },
                   [&](const ShiftParams& d) { lines.push_back(concat("shift to (", d.x, ", ", d.y, ")")); },
                   [&](const AffineParams& d) {
                     lines.push_back(concat("turn ", number(d.angle, 0), ", move ", d.translate[0], " ", d.translate[1],
                                            ", scale ", number(d.scale), ", shear ", number(d.shear, 0)));
                   },
                   [&](const PolicyParams& d) {
                     for (std::size_t k = 0; k < d.operations.size(); ++k)
                       lines.push_back(concat(d.operations[k], " ", number(d.magnitudes[k])));
                   },
                   [&](const EraseParams& d) {
                     if (d.width > 0)
                       lines.push_back(concat("erased ", d.width, " x ", d.height, " at (", d.x, ", ", d.y, ")"));
                   },
                   [](const NoParams&) {},
                   [&](const auto&) { lines.push_back(step); },
               },
               params[i]);
  }
  return lines;
}

cv::Mat contact_sheet(const ImageSource& source, const MultiCrop& crops, const ViewKey& key,
                      const DecodeOptions& options) {
  const cv::Mat image = decode(source, options);
  std::vector<std::vector<float>> views;
  std::vector<float*> places;
  places.reserve(crops.views());
  for (int v = 0; v < crops.views(); ++v) places.push_back(views.emplace_back(crops.shape(v).size()).data());
  crops(source, key, places, options);

  std::vector<std::vector<std::string>> captions;
  std::size_t most_lines = 0;
  const int side = 2 * kTile + kGap;
  const double factor = static_cast<double>(side) / std::max(image.rows, image.cols);
  cv::Mat original;
  resize(image,
         {std::max(1, static_cast<int>(image.cols * factor)), std::max(1, static_cast<int>(image.rows * factor))},
         Interpolation::kBilinear, original);
  for (int v = 0; v < crops.views(); ++v) {
    auto of_view = key;
    of_view.view = static_cast<std::uint32_t>(v);
    const auto params = crops.pipeline(v).make_params(image.size(), of_view);
    captions.push_back(describe(crops.pipeline(v), params));
    captions.back().insert(captions.back().begin(),
                           concat("view ", v, ", ", crops.shape(v).height, " x ", crops.shape(v).width));
    most_lines = std::max(most_lines, captions.back().size());
    if (const auto box = cropped(crops.pipeline(v), params, image.size())) {
      const auto scaled = [&](double value) { return static_cast<int>(value * factor); };
      cv::rectangle(original,
                    {scaled(box->x), scaled(box->y), std::max(1, scaled(box->width)), std::max(1, scaled(box->height))},
                    color_of(v), 2);
    }
  }

  const int rows = (crops.views() + kColumns - 1) / kColumns;
  const int row_height = kTile + kLine * static_cast<int>(most_lines) + 2 * kGap;
  const int left = side + 2 * kGap;
  cv::Mat sheet(std::max(rows * row_height, side) + 2 * kGap, left + std::min(crops.views(), kColumns) * (kTile + kGap),
                CV_8UC3, cv::Scalar::all(255));
  original.copyTo(sheet(cv::Rect(kGap, kGap, original.cols, original.rows)));
  write_line(sheet,
             concat(image.cols, " x ", image.rows, ", seed ", key.seed, ", epoch ", key.epoch, ", sample ", key.sample),
             {kGap, std::min(kGap + original.rows + kLine, sheet.rows - 2)});
  for (int v = 0; v < crops.views(); ++v) {
    const cv::Point at(left + v % kColumns * (kTile + kGap), kGap + v / kColumns * row_height);
    cv::Mat picture = fitted(picture_of(crops.pipeline(v), views[v].data()), kTile);
    if (picture.channels() == 1) picture = to_rgb8(picture, std::nullopt, nullptr);
    const cv::Rect place(at.x, at.y, picture.cols, picture.rows);
    picture.copyTo(sheet(place));
    cv::rectangle(sheet, place, color_of(v), 2);
    for (std::size_t i = 0; i < captions[v].size(); ++i)
      write_line(sheet, captions[v][i], {at.x, at.y + kTile + kLine * static_cast<int>(i + 1)});
  }
  return sheet;
}

}  // namespace unlabel::augment
