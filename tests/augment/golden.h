#pragma once

#include <nlohmann/json.hpp>
#include <opencv2/core.hpp>

#include <string>
#include <vector>

namespace unlabel::augment {

/// A file of tests/golden/augment.py: images and the cases that relate them.
struct GoldenFile {
  explicit GoldenFile(const std::string& path);

  /// height x width x channels, uint8 or float32; channels x height x width arrays come as they are, one row a plane.
  cv::Mat image(const std::string& name) const;

  std::vector<nlohmann::json> cases;

 private:
  std::string bytes_;
  nlohmann::json header_;
  std::size_t data_ = 0;
};

/// Runs the case's operation on its input.
cv::Mat run_case(const GoldenFile& file, const nlohmann::json& item);

struct Difference {
  double mean = 0, max = 0;
};
Difference difference(const cv::Mat& a, const cv::Mat& b);

}  // namespace unlabel::augment
