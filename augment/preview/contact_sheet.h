#pragma once

#include <unlabel/augment/transforms/multi_crop.h>

#include <opencv2/core/mat.hpp>

#include <span>
#include <vector>

namespace unlabel::augment {

/// A view's floats as an image: the normalization undone, CV_8UC3 in RGB order, or CV_8UC1 for one channel; with two channels the first,
/// stretched to the whole range.
cv::Mat picture_of(const Pipeline& pipeline, const float* view);

/// The parameters of a view in words, a line for each step that is applied: "crop 240 x 180 at (31, 12)", "jitter: hue -0.04, ...".
std::vector<std::string> describe(const Pipeline& pipeline, std::span<const TransformParams> params);

/// Views of an image on one sheet, CV_8UC3 in RGB order: the image with the crops outlined, and each view in the color of its outline,
/// with its parameters. The views are those of `crops` for the key.
cv::Mat contact_sheet(const ImageSource& source, const MultiCrop& crops, const ViewKey& key,
                      const DecodeOptions& decode = {});

}  // namespace unlabel::augment
