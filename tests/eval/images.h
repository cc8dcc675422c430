#pragma once

#include <unlabel/augment/transforms/presets.h>
#include <unlabel/ssl/models/encoder.h>

#include "data/temp_folder.h"
#include <torch/types.h>

#include <memory>
#include <string>

namespace unlabel::eval::testing {

/// `count` images a class, of noise around a color and a direction of stripes of the class's own: easy, but not
/// trivial.
inline void write_classes(const data::TempFolder& folder, const std::string& split, int count, int classes,
                          std::uint64_t seed) {
  for (int c = 0; c < classes; ++c) {
    for (int i = 0; i < count; ++i) {
      cv::Mat image(16, 16, CV_8UC3);
      cv::RNG random(seed + 1000 * c + i);
      random.fill(image, cv::RNG::UNIFORM, 0, 120);
      for (int y = 0; y < 16; ++y)
        for (int x = 0; x < 16; ++x)
          if ((c % 2 == 0 ? x : y) % 4 < 2) image.at<cv::Vec3b>(y, x)[c % 3] += 110;
      std::vector<std::uint8_t> bytes;
      ASSERT_TRUE(cv::imencode(".png", image, bytes));
      folder.write(split + "/class" + std::to_string(c) + "/" + std::to_string(i) + ".png", bytes);
    }
  }
}

/// A JPEG of an image that is stored upside down and says so (EXIF orientation 3).
inline std::vector<std::uint8_t> jpeg_upside_down(const cv::Mat& image) {
  cv::Mat turned;
  cv::flip(image, turned, /*both axes*/ -1);
  std::vector<std::uint8_t> bytes;
  cv::imencode(".jpg", turned, bytes, {cv::IMWRITE_JPEG_QUALITY, 100});
  const std::string exif(
      "\xff\xe1\x00\x22"
      "Exif\0\0"
      "MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0",
      36);
  bytes.insert(bytes.begin() + 2, exif.begin(), exif.end());
  return bytes;
}

/// Photographs of two classes: bright at the top, or at the bottom. `turned`: stored upside down, with EXIF.
inline void write_photographs(const data::TempFolder& folder, const std::string& split, int count, bool turned,
                              std::uint64_t seed) {
  for (const bool up : {true, false})
    for (int i = 0; i < count; ++i) {
      cv::Mat image(16, 16, CV_8UC3);
      cv::RNG random(seed + 2 * static_cast<std::uint64_t>(i) + up);
      random.fill(image, cv::RNG::UNIFORM, 0, 30);
      for (int y = 0; y < 16; ++y) image.row(y) += cv::Scalar::all(14 * (up ? 15 - y : y));
      std::vector<std::uint8_t> bytes;
      if (turned)
        bytes = jpeg_upside_down(image);
      else
        cv::imencode(".jpg", image, bytes, {cv::IMWRITE_JPEG_QUALITY, 100});
      folder.write(split + (up ? "/up/" : "/down/") + std::to_string(i) + ".jpg", bytes);
    }
}

/// No network: the image in 4 x 4 fields.
struct FieldsEncoder : ssl::ImageEncoder {
  ssl::EncoderOutput encode_images(const at::Tensor& images, const ssl::OutputRequest&) override {
    return {at::adaptive_avg_pool2d(images, {4, 4}).flatten(1), {}, {}};
  }
  std::int64_t feature_dim() const override { return 48; }
};

inline augment::MultiCrop eval_view(int size = 16) {
  augment::PresetOptions options;
  options.global_size = size;
  return augment::preset("eval", options);
}

inline std::shared_ptr<ssl::ImageEncoder> small_encoder(std::uint64_t seed = 0) {
  torch::manual_seed(seed);
  ssl::EncoderOptions options;
  options.arch = "resnet18";
  options.width = 8;
  options.stem = "small";
  auto encoder = ssl::make_image_encoder(options);
  encoder->train();
  return encoder;
}

}  // namespace unlabel::eval::testing
