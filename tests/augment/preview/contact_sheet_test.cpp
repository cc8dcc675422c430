#include <unlabel/augment/preview/contact_sheet.h>
#include <unlabel/augment/transforms/presets.h>

#include <gtest/gtest.h>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include <algorithm>

namespace unlabel::augment {
namespace {

TEST(ContactSheet, TellsWhatWasDrawn) {
  const MultiCrop crops = preset("swav");
  const std::vector<TransformParams> params{
      CropParams{31, 12, 240, 180}, ApplyParams{true},     JitterParams{true, {3, 0, 1, 2}, 1.25, 0.5, 1, -0.04},
      ApplyParams{false},           BlurParams{true, 1.5}, NoParams{}};
  EXPECT_EQ(describe(crops.pipeline(0), params),
            (std::vector<std::string>{"crop 240 x 180 at (31, 12)", "RandomHorizontalFlip", "hue -0.04",
                                      "brightness 1.25", "contrast 0.50", "saturation 1.00", "blur, sigma 1.50"}));
}

TEST(ContactSheet, UndoesTheNormalisation) {
  const Pipeline pipeline({CenterCrop{{4}}, Normalize{}});
  const cv::Mat image(4, 4, CV_8UC3, cv::Scalar(10, 100, 250));
  std::vector<float> view(pipeline.output_shape().size());
  pipeline(image, {}, view.data());
  EXPECT_EQ(cv::norm(picture_of(pipeline, view.data()), image, cv::NORM_INF), 0);
  const Pipeline gray({CenterCrop{{4}}, Grayscale{}});
  std::vector<float> one(gray.output_shape().size());
  gray(image, {}, one.data());
  EXPECT_EQ(picture_of(gray, one.data()).type(), CV_8UC1);
}

TEST(ContactSheet, HasTheImageAndEveryView) {
  for (const auto& name : preset_names())
    for (const auto& [height, width] : {std::pair{300, 400}, {1, 1}, {20, 900}}) {
      const MultiCrop crops = preset(name);
      const cv::Mat image(height, width, CV_8UC3, cv::Scalar(0, 0, 200));
      const cv::Mat sheet = contact_sheet({{}, image}, crops, {1, 0, 0, 0});
      ASSERT_EQ(sheet.type(), CV_8UC3);
      EXPECT_GT(sheet.cols, 480 + std::min(crops.views(), 4) * 240);
      cv::Mat blue;
      cv::inRange(sheet(cv::Rect(12, 12, 480, 480)), cv::Scalar(0, 0, 200), cv::Scalar(0, 0, 200), blue);
      EXPECT_GT(cv::countNonZero(blue), 0) << name << ": the image is not on its sheet";
      cv::Mat white;
      cv::inRange(sheet(cv::Rect(480 + 24, 12, 240, 240)), cv::Scalar::all(255), cv::Scalar::all(255), white);
      EXPECT_LT(cv::countNonZero(white), 240 * 240) << name << ": the first view is not on its sheet";
    }
}

TEST(ContactSheet, OutlinesWhatIsCroppedFromACrop) {
  const auto crops = MultiCrop::from_json(nlohmann::json::parse(
      R"({"views": [{"count": 1, "pipeline": [{"op": "CenterCrop", "size": 100},
          {"op": "RandomResizedCrop", "size": 32, "scale": [1, 1], "ratio": [1, 1]}]}]})"));
  const cv::Mat sheet = contact_sheet({{}, cv::Mat(200, 200, CV_8UC3, cv::Scalar::all(255))}, crops, {1, 0, 0, 0});
  cv::Mat gray;
  cv::cvtColor(sheet(cv::Rect(12, 12, 492, 492)), gray, cv::COLOR_RGB2GRAY);
  const cv::Rect outline = cv::boundingRect(cv::Mat(gray < 250));
  EXPECT_NEAR(outline.x, 492 / 4, 3) << "the middle half of the image";
  EXPECT_NEAR(outline.width, 492 / 2, 6);
  EXPECT_NEAR(outline.height, 492 / 2, 6);
}

TEST(ContactSheet, ShowsThinViews) {
  const auto crops = MultiCrop::from_json(nlohmann::json::parse(
      R"({"views": [{"count": 1, "pipeline": [{"op": "RandomResizedCrop", "size": [2000, 1]}]}]})"));
  EXPECT_NO_THROW(contact_sheet({{}, cv::Mat(20, 20, CV_8UC3, cv::Scalar::all(9))}, crops, {1, 0, 0, 0}));
}

}  // namespace
}  // namespace unlabel::augment
