#include "augment/golden.h"

#include <unlabel/augment/ops/affine.h>
#include <unlabel/augment/ops/color.h>
#include <unlabel/augment/ops/color_byol.h>
#include <unlabel/augment/ops/filter.h>
#include <unlabel/augment/ops/geometry.h>
#include <unlabel/augment/ops/normalize.h>
#include <unlabel/augment/ops/resize.h>
#include <unlabel/augment/transforms/pipeline.h>
#include <unlabel/augment/transforms/policies.h>

#include <array>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace unlabel::augment {

GoldenFile::GoldenFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  bytes_.assign(std::istreambuf_iterator<char>(file), {});
  std::uint64_t length;
  std::memcpy(&length, bytes_.data(), sizeof(length));
  header_ = nlohmann::json::parse(bytes_.substr(8, length));
  data_ = 8 + length;
  cases = nlohmann::json::parse(header_["__metadata__"]["cases"].get<std::string>());
}

cv::Mat GoldenFile::image(const std::string& name) const {
  const auto& entry = header_.at(name);
  const auto shape = entry["shape"].get<std::vector<int>>();
  const int depth = entry["dtype"] == "U8" ? CV_8U : CV_32F;
  char* data = const_cast<char*>(bytes_.data()) + data_ + entry["data_offsets"][0].get<std::size_t>();
  const bool planes = shape[2] > 4 && shape[0] <= 4;
  return planes ? cv::Mat(shape[0], shape[1] * shape[2], depth, data).clone()
                : cv::Mat(shape[0], shape[1], CV_MAKETYPE(depth, shape[2]), data).clone();
}

namespace {

cv::Size size_of(const nlohmann::json& item) { return {item["size"][1], item["size"][0]}; }

Interpolation filter_of(const nlohmann::json& item) {
  return item.value("filter", "bilinear") == "bilinear" ? Interpolation::kBilinear : Interpolation::kBicubic;
}

cv::Rect box_of(const nlohmann::json& item) {
  const auto& b = item["box"];
  return {b[0], b[1], b[2], b[3]};
}

/// The pipeline's output with those boxes, one row a plane.
cv::Mat planes_of(const Pipeline& pipeline, const cv::Mat& in, const std::vector<TransformParams>& params) {
  const auto shape = pipeline.output_shape();
  cv::Mat out(shape.channels, shape.height * shape.width, CV_32F);
  pipeline.apply(in, params, out.ptr<float>());
  return out;
}

/// In one go, as a pipeline does it; as bytes again.
cv::Mat run_resize_crop(const cv::Mat& in, const nlohmann::json& item) {
  const cv::Size size = size_of(item);
  const Pipeline pipeline({Resize{{item["side"].get<int>()}, filter_of(item)}, CenterCrop{{size.height, size.width}}});
  const cv::Mat planes = planes_of(pipeline, in, {NoParams{}, NoParams{}});
  cv::Mat out(size, CV_8UC3);
  for (int i = 0; i < size.area(); ++i)
    for (int c = 0; c < 3; ++c) out.data[3 * i + c] = cv::saturate_cast<uchar>(255 * planes.at<float>(c, i));
  return out;
}

cv::Mat run_byol_crop(const cv::Mat& in, const nlohmann::json& item) {
  const cv::Size size = size_of(item);
  const cv::Rect box = box_of(item);
  RandomResizedCrop crop{.size = {size.height, size.width}, .interpolation = Interpolation::kBicubic};
  crop.family = Family::kByol;
  return planes_of(Pipeline({crop}), in, {CropParams{box.x, box.y, box.width, box.height}});
}

double magnitude_of(const nlohmann::json& item, int bin, cv::Size image) {
  const auto space = item["space"] == "rand" ? AutoSpace::kRand : AutoSpace::kTrivialWide;
  return auto_magnitude(space, item["operation"], bin, item["bins"], image);
}

cv::Mat run_magnitudes(const nlohmann::json& item) {
  const int bins = item["bins"];
  cv::Mat out(bins, 1, CV_32F);
  for (int bin = 0; bin < bins; ++bin) {
    const double magnitude = magnitude_of(item, bin, size_of(item));
    out.at<float>(bin) = static_cast<float>(magnitude);
    if (out.at<float>(bin) != magnitude) throw std::runtime_error("a magnitude is no float: " + item.dump());
  }
  return out;
}

cv::Mat run_view(const cv::Mat& in, const nlohmann::json& item) {
  const cv::Size size = size_of(item);
  const cv::Rect box = box_of(item);
  const auto& factors = item["factors"];
  const Pipeline pipeline({RandomResizedCrop{{size.height, size.width}}, RandomHorizontalFlip{},
                           ColorJitter{0.8, 0.8, 0.8, 0.8, 0.2}, RandomGrayscale{0.2}, GaussianBlur{0.5},
                           Normalize{item["mean"].get<std::vector<double>>(), item["std"].get<std::vector<double>>()}});
  const std::vector<TransformParams> params{CropParams{box.x, box.y, box.width, box.height},
                                            ApplyParams{item["flip"]},
                                            JitterParams{item["jitter"], item["order"].get<std::array<int, 4>>(),
                                                         factors[0], factors[1], factors[2], factors[3]},
                                            ApplyParams{item["gray"]},
                                            BlurParams{},
                                            NoParams{}};
  return planes_of(pipeline, in, params);
}

}  // namespace

cv::Mat run_case(const GoldenFile& file, const nlohmann::json& item) {
  const auto op = item["op"].get<std::string>();
  const cv::Mat in = file.image(item["in"]);
  const double value = item.value("value", 0.0);
  cv::Mat out;
  if (op == "resize") {
    resize(in, size_of(item), filter_of(item), out);
  } else if (op == "resized_crop") {
    resize(in(box_of(item)), size_of(item), filter_of(item), out);
  } else if (op == "resize_short") {
    resize(in, short_side_size(in.size(), item["side"]), Interpolation::kBilinear, out);
  } else if (op == "resize_crop") {
    return run_resize_crop(in, item);
  } else if (op == "byol_crop") {
    return run_byol_crop(in, item);
  } else if (op == "magnitudes") {
    return run_magnitudes(item);
  } else if (op == "resize_gray") {
    cv::Mat gray;
    to_gray(in, gray);
    resize(gray, size_of(item), Interpolation::kBilinear, out);
  } else if (op == "center_crop") {
    center_crop(in, size_of(item), out);
  } else if (op == "horizontal_flip") {
    horizontal_flip(in, out);
  } else if (op == "brightness") {
    adjust_brightness(in, value, out);
  } else if (op == "contrast") {
    adjust_contrast(in, value, out);
  } else if (op == "saturation") {
    adjust_saturation(in, value, out);
  } else if (op == "hue") {
    adjust_hue(in, value, out);
  } else if (op == "solarize") {
    solarize(in, value, out);
  } else if (op == "grayscale") {
    grayscale(in, out);
  } else if (op == "to_gray") {
    to_gray(in, out);
  } else if (op == "byol_brightness") {
    byol::adjust_brightness(in, value, out);
  } else if (op == "byol_contrast") {
    byol::adjust_contrast(in, value, out);
  } else if (op == "byol_saturation") {
    byol::adjust_saturation(in, value, out);
  } else if (op == "byol_hue") {
    byol::adjust_hue(in, value, out);
  } else if (op == "blur") {
    gaussian_blur(in, item["sigma"], item["size"], item["border"] == "zero" ? Border::kZero : Border::kReflect, out);
  } else if (op == "pad_shift") {
    pad_shift(in, item["pad"], item["x"], item["y"], out);
  } else if (op == "to_planes" || op == "normalized_planes") {
    out.create(in.channels(), static_cast<int>(in.total()), CV_32F);
    to_planes(in, item.value("mean", std::vector<double>{}), item.value("std", std::vector<double>{}),
              out.ptr<float>());
  } else if (op == "normalize" || op == "sobel") {
    normalize(in, item["mean"].get<std::vector<double>>(), item["std"].get<std::vector<double>>(), out);
    if (op == "sobel") {
      const cv::Mat normalized = out;
      cv::Mat edges;
      sobel(normalized, edges);
      return edges;
    }
  } else if (op == "rotate" || op == "affine" || op == "auto" || op == "policy") {
    const auto sampling = item["sampling"] == "nearest" ? Sampling::kNearest : Sampling::kBilinear;
    if (op == "rotate") {
      affine(in, rotation_matrix(value, in.size()), sampling, item["fill"], out);
    } else if (op == "affine") {
      const AffineChange change{item["angle"], cv::Point2d(item["translate"][0], item["translate"][1]), item["scale"],
                                item["shear"], item.value("shear_y", 0.0)};
      affine(in, affine_matrix(change, {in.cols * 0.5, in.rows * 0.5}), sampling, item["fill"], out);
    } else if (op == "policy") {
      const double magnitude = magnitude_of(item, item["bin"], in.size()) * item["sign"].get<int>();
      apply_auto(in, item["operation"], magnitude, sampling, 0, out);
    } else {
      apply_auto(in, item["operation"], item["magnitude"], sampling, item["fill"], out);
    }
  } else if (op == "view") {
    return run_view(in, item);
  } else {
    throw std::runtime_error("unknown golden operation " + op);
  }
  return out;
}

Difference difference(const cv::Mat& a, const cv::Mat& b) {
  if (a.size() != b.size() || a.type() != b.type()) return {1e30, 1e30};
  cv::Mat x, y;
  a.reshape(1).convertTo(x, CV_64F);
  b.reshape(1).convertTo(y, CV_64F);
  const cv::Mat apart = cv::abs(x - y);
  Difference result{cv::mean(apart)[0], 0};
  cv::minMaxLoc(apart, nullptr, &result.max);
  return result;
}

}  // namespace unlabel::augment
