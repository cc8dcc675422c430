#pragma once

#include <unlabel/augment/presets.h>
#include <unlabel/ssl/models/encoder.h>

#include "data/temp_folder.h"
#include <torch/types.h>

#include <memory>
#include <string>

namespace unlabel::eval::testing {

/// `count` images a class, of noise around a colour and a direction of stripes of the class's own: easy, but not
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

inline augment::MultiCrop eval_view(int size = 16) {
  augment::PresetOptions options;
  options.global_size = size;
  return augment::preset("eval", options);
}

inline std::shared_ptr<ssl::Encoder> small_encoder(std::uint64_t seed = 0) {
  torch::manual_seed(seed);
  ssl::EncoderOptions options;
  options.arch = "resnet18";
  options.width = 8;
  options.stem = "small";
  auto encoder = ssl::make_encoder(options);
  encoder->train();
  return encoder;
}

}  // namespace unlabel::eval::testing
