#include <unlabel/augment/error.h>
#include <unlabel/augment/ops/color.h>
#include <unlabel/augment/ops/color_byol.h>
#include <unlabel/augment/ops/geometry.h>
#include <unlabel/augment/ops/normalize.h>
#include <unlabel/augment/transforms/transform.h>

#include "augment/golden.h"
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

namespace unlabel::augment {
namespace {

const std::string kGolden = std::string(UNLABEL_SOURCE_DIR) + "/tests/golden/";

TEST(TransformsGolden, EqualPillowOnBytes) {
  const GoldenFile file(kGolden + "augment_8bit.safetensors");
  ASSERT_GT(file.cases.size(), 60u);
  for (const auto& item : file.cases) {
    const auto [mean, max] = difference(run_case(file, item), file.image(item["out"]));
    const bool floats = item["op"] == "view" || item["op"] == "to_planes" || item["op"] == "normalized_planes";
    // A blur may round a tie the other way; everything else on bytes is bit-equal, floats after it to the last digits.
    EXPECT_LE(max, item["op"] == "blur" ? 1.0 : floats ? 1e-5 : 0.0) << item.dump();
    EXPECT_LE(mean, 1e-3) << item.dump();
  }
}

TEST(TransformsGolden, EqualTorchvisionsPolicies) {
  const GoldenFile file(kGolden + "augment_policies.safetensors");
  ASSERT_GT(file.cases.size(), 80u);
  for (const auto& item : file.cases)
    EXPECT_EQ(difference(run_case(file, item), file.image(item["out"])).max, 0) << item.dump();
}

TEST(TransformsGolden, AgreeWithTorchvisionAndByolOnFloats) {
  const GoldenFile file(kGolden + "augment_float.safetensors");
  ASSERT_GT(file.cases.size(), 25u);
  for (const auto& item : file.cases) {
    const auto [mean, max] = difference(run_case(file, item), file.image(item["out"]));
    EXPECT_LE(max, 1e-5) << item.dump();
  }
}

cv::Mat noise(int height, int width, int type, std::uint64_t seed) {
  cv::Mat image(height, width, type);
  cv::RNG rng(seed);
  rng.fill(image, cv::RNG::UNIFORM, 0, CV_MAT_DEPTH(type) == CV_8U ? 256 : 1);
  return image;
}

TEST(Resize, KeepsConstantImagesAndTheMean) {
  const cv::Mat flat(37, 53, CV_8UC3, cv::Scalar(7, 128, 251));
  for (const auto filter : {Interpolation::kBilinear, Interpolation::kBicubic})
    for (const cv::Size size : {cv::Size(5, 5), cv::Size(200, 3), cv::Size(53, 37), cv::Size(1, 90)}) {
      cv::Mat out;
      resize(flat, size, filter, out);
      EXPECT_EQ(difference(out, cv::Mat(size, CV_8UC3, cv::Scalar(7, 128, 251))).max, 0);
    }
  // Antialiasing: shrunk eight times, noise comes close to its mean, which plain interpolation would not.
  cv::Mat small;
  resize(noise(256, 256, CV_8UC3, 1), {32, 32}, Interpolation::kBilinear, small);
  cv::Scalar mean, deviation;
  cv::meanStdDev(small, mean, deviation);
  EXPECT_NEAR(mean[0], 127.5, 2);
  EXPECT_LT(deviation[0], 10);
}

TEST(Resize, ReadsNothingOutsideItsRegion) {
  cv::Mat image(60, 60, CV_8UC3, cv::Scalar::all(255));
  const cv::Rect box(20, 15, 21, 30);
  image(box).setTo(cv::Scalar::all(9));
  cv::Mat out;
  resize(image(box), {7, 8}, Interpolation::kBicubic, out);
  EXPECT_EQ(difference(out, cv::Mat(8, 7, CV_8UC3, cv::Scalar::all(9))).max, 0);
}

TEST(Resize, MakesARegionAsTheWholeHasIt) {
  Random random({13, 0, 0, 0});
  const auto below = [&](int count) { return static_cast<int>(random.below(static_cast<std::uint32_t>(count))); };
  for (const int type : {CV_8UC3, CV_32FC1})
    for (int i = 0; i < 200; ++i) {
      const cv::Mat image = noise(1 + below(60), 1 + below(60), type, i);
      cv::Size size(1 + below(80), 1 + below(80));
      if (i % 5 == 0) size.width = image.cols;
      if (i % 7 == 0) size.height = image.rows;
      const cv::Rect region(below(size.width), below(size.height), 1, 1);
      const cv::Rect part(region.tl(), cv::Size(1 + below(size.width - region.x), 1 + below(size.height - region.y)));
      const auto how = i % 2 == 0 ? Interpolation::kBilinear : Interpolation::kBicubic;
      cv::Mat whole, made;
      resize(image, size, how, whole);
      resize_region(image, size, part, how, made);
      ASSERT_EQ(difference(made, whole(part)).max, 0) << image.size() << " to " << size << ", " << part;
    }
  cv::Mat out;
  const cv::Mat image = noise(4, 4, CV_8UC3, 1);
  for (const cv::Rect outside :
       {cv::Rect(0, 0, 0, 3), cv::Rect(-1, 0, 3, 3), cv::Rect(6, 0, 3, 3), cv::Rect(0, 6, 3, 3)})
    EXPECT_THROW(resize_region(image, {8, 8}, outside, Interpolation::kBilinear, out), UsageError);
}

TEST(Resize, SamplesWithoutAntialiasing) {
  // A tenth of the size: 2 or 4 pixels about 10 o + 4.5, the middle of two.
  cv::Mat ramp(1, 50, CV_8UC1), out;
  for (int x = 0; x < 50; ++x) ramp.at<uchar>(x) = static_cast<uchar>(x % 2 == 0 ? 0 : 5 * x);
  resize_sampled(ramp, {5, 1}, Interpolation::kBilinear, out);
  ASSERT_EQ(out.type(), CV_32FC1);
  for (int o = 0; o < 5; ++o) EXPECT_FLOAT_EQ(out.at<float>(o), 5.0f * (10 * o + 5) / 2);
  resize_sampled(ramp, {5, 1}, Interpolation::kBicubic, out);
  for (int o = 0; o < 5; ++o)  // -1/16, 9/16, 9/16, -1/16
    EXPECT_FLOAT_EQ(out.at<float>(o), 5.0f * (9.0f * (10 * o + 5) - (10 * o + 3)) / 16);
  resize_sampled(cv::Mat(3, 4, CV_32FC3, cv::Scalar(0.25, 0.5, 1)), {9, 2}, Interpolation::kBicubic, out);
  EXPECT_LT(difference(out, cv::Mat(2, 9, CV_32FC3, cv::Scalar(0.25, 0.5, 1))).max, 1e-6);
}

TEST(Resize, RefusesWhatWouldFillTheMemory) {
  const cv::Mat thin(1, 1 << 20, CV_8UC3, cv::Scalar::all(1));
  cv::Mat out;
  EXPECT_THROW(resize(thin, {1 << 20, 200}, Interpolation::kBilinear, out), Error);
  EXPECT_THROW(short_side_size({1, 1 << 28}, 256), Error);
  EXPECT_THROW(resize(cv::Mat(), {4, 4}, Interpolation::kBilinear, out), UsageError);
}

TEST(Normalize, RefusesMissingMeans) {
  const cv::Mat image(2, 2, CV_32FC3, cv::Scalar::all(0.5));
  cv::Mat out;
  const std::vector<double> one{0.5}, three{0.5, 0.5, 0.5};
  EXPECT_THROW(normalize(image, {}, {}, out), UsageError);
  EXPECT_THROW(normalize(image, one, one, out), UsageError);
  EXPECT_THROW(normalize(image, three, {}, out), UsageError);
  EXPECT_NO_THROW(normalize(image, three, three, out));
}

TEST(AdjustColor, RefusesAmountsThatMakeNoSense) {
  const double infinity = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  for (const int type : {CV_8UC3, CV_32FC3}) {
    const cv::Mat image(2, 2, type, cv::Scalar::all(0.5));
    cv::Mat out;
    for (const auto adjust : {adjust_brightness, adjust_contrast, adjust_saturation}) {
      for (const double factor : {-0.1, infinity, nan}) EXPECT_THROW(adjust(image, factor, out), UsageError) << factor;
      EXPECT_NO_THROW(adjust(image, 0, out));
      EXPECT_NO_THROW(adjust(image, 1e30, out));
    }
    EXPECT_THROW(adjust_hue(image, nan, out), UsageError);
  }
  const cv::Mat image(2, 2, CV_32FC3, cv::Scalar::all(0.5));
  cv::Mat out;
  for (const auto adjust :
       {byol::adjust_brightness, byol::adjust_contrast, byol::adjust_saturation, byol::adjust_hue}) {
    for (const double amount : {infinity, nan}) EXPECT_THROW(adjust(image, amount, out), UsageError) << amount;
    EXPECT_NO_THROW(adjust(image, -0.1, out));
  }
}

// Numbers that are none must lead out of no table.
TEST(AdjustColor, SurvivesPixelsThatAreNoNumbers) {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  cv::Mat image(1, 4, CV_32FC3), out;
  const float values[] = {nan, 0, 1, 1, nan, 0, 1, 0, nan, infinity, 0, -infinity};
  std::copy(std::begin(values), std::end(values), image.ptr<float>());
  for (const auto adjust : {adjust_hue, byol::adjust_hue, byol::adjust_saturation}) {
    adjust(image, 0.2, out);
    EXPECT_EQ(out.size(), image.size());
  }
}

TEST(RandomResizedCropBox, FollowsItsDistribution) {
  Random random({11, 0, 0, 0});
  constexpr int kDraws = 20000;
  constexpr double kLow = 0.14, kHigh = 0.7;
  double area_sum = 0, log_ratio_sum = 0, log_ratio_squares = 0;
  int low_third = 0;
  for (int i = 0; i < kDraws; ++i) {
    const cv::Rect box = random_resized_crop_box({1000, 1000}, kLow, kHigh, 3.0 / 4, 4.0 / 3, random);
    ASSERT_EQ(box & cv::Rect(0, 0, 1000, 1000), box);
    const double area = box.area() / 1e6, log_ratio = std::log(static_cast<double>(box.width) / box.height);
    ASSERT_GT(area, kLow - 0.002);
    ASSERT_LT(area, kHigh + 0.002);
    ASSERT_LT(std::abs(log_ratio), std::log(4.0 / 3) + 0.01);
    area_sum += area;
    low_third += area < kLow + (kHigh - kLow) / 3;
    log_ratio_sum += log_ratio;
    log_ratio_squares += log_ratio * log_ratio;
  }
  // Uniform area and log-uniform ratio: in this range every box fits, so that nothing is drawn twice.
  EXPECT_NEAR(area_sum / kDraws, (kLow + kHigh) / 2, 0.004);
  EXPECT_NEAR(low_third / double(kDraws), 1.0 / 3, 0.012);
  EXPECT_NEAR(log_ratio_sum / kDraws, 0, 0.005);
  EXPECT_NEAR(log_ratio_squares / kDraws, std::pow(std::log(4.0 / 3), 2) / 3, 0.001);
}

TEST(ByolCropBox, CutsOffWhatIsLargerThanTheImage) {
  Random random({12, 0, 0, 0});
  constexpr int kDraws = 40000;
  // The mean area and how many are as high as the image, of two million boxes by the released arithmetic in NumPy.
  for (const auto& [width, height, mean_area, share] :
       {std::tuple{500, 375, 0.5186, 0.2628}, {400, 100, 0.3482, 0.8144}}) {
    const cv::Rect image(0, 0, width, height);
    double area = 0, full_height = 0;
    for (int i = 0; i < kDraws; ++i) {
      const cv::Rect box = byol_crop_box(image.size(), 0.08, 1, 3.0 / 4, 4.0 / 3, random);
      ASSERT_EQ(box & image, box);
      area += static_cast<double>(box.area()) / image.area();
      full_height += box.height == image.height;
    }
    EXPECT_NEAR(area / kDraws, mean_area, 0.005);
    EXPECT_NEAR(full_height / kDraws, share, 0.01);
  }
  for (const cv::Size size : {cv::Size(1, 1), cv::Size(1, 3000), cv::Size(2, 1)})
    for (int i = 0; i < 100; ++i) {
      const cv::Rect box = byol_crop_box(size, 1e-6, 1, 1e-3, 1e3, random);
      ASSERT_EQ(box & cv::Rect({0, 0}, size), box);
      ASSERT_GT(box.area(), 0);
    }
}

TEST(RandomResizedCropBox, FallsBackToTheCentre) {
  Random random({1, 0, 0, 0});
  // Nothing of these ratios and this area fits into a strip.
  EXPECT_EQ(random_resized_crop_box({1000, 10}, 0.9, 1, 3.0 / 4, 4.0 / 3, random), cv::Rect(493, 0, 13, 10));
  EXPECT_EQ(random_resized_crop_box({10, 1000}, 0.9, 1, 3.0 / 4, 4.0 / 3, random), cv::Rect(0, 493, 10, 13));
  EXPECT_EQ(random_resized_crop_box({1, 1}, 0.001, 0.01, 3.0 / 4, 4.0 / 3, random), cv::Rect(0, 0, 1, 1));
  for (int i = 0; i < 1000; ++i) {
    const cv::Size size(1 + static_cast<int>(random.below(40)), 1 + static_cast<int>(random.below(40)));
    const cv::Rect box = random_resized_crop_box(size, 1e-6, 1, 1e-3, 1e3, random);
    ASSERT_EQ(box & cv::Rect({0, 0}, size), box);
    ASSERT_GT(box.area(), 0);
  }
}

TEST(RandomShift, ReachesEveryOffsetAndIsTheIdentityInTheMiddle) {
  const cv::Mat frames = noise(9, 7, CV_8UC(9), 3);  // DrQ stacks frames
  cv::Mat out;
  pad_shift(frames, 4, 4, 4, out);
  EXPECT_EQ(difference(out, frames).max, 0);
  for (int y = 0; y <= 8; ++y)
    for (int x = 0; x <= 8; ++x) {
      pad_shift(frames, 4, x, y, out);
      for (int row = 0; row < 9; ++row)
        for (int column = 0; column < 7; ++column)
          for (int c = 0; c < 9; ++c)
            ASSERT_EQ(out.ptr(row)[column * 9 + c],
                      frames.ptr(std::clamp(row + y - 4, 0, 8))[std::clamp(column + x - 4, 0, 6) * 9 + c]);
    }
  pad_shift(frames, 20, 40, 0, out);  // farther than the image is wide
  EXPECT_EQ(out.ptr(5)[0], frames.ptr(0)[6 * 9]);
  EXPECT_THROW(pad_shift(frames, 4, 9, 0, out), UsageError);
  EXPECT_THROW(pad_shift(frames, 4, 0, -1, out), UsageError);
}

TEST(GaussianKernel, SumsToOneAndCoversWhatMatters) {
  for (const double sigma : {0.1, 0.5, 1.0, 2.0, 10.0}) {
    const auto kernel = gaussian_kernel(sigma);
    double sum = 0;
    for (const float weight : kernel) sum += weight;
    EXPECT_NEAR(sum, 1, 1e-6);
    EXPECT_EQ(kernel.size(), 2 * static_cast<std::size_t>(std::ceil(3.5 * sigma)) + 1);
    EXPECT_LT(kernel.front() * 255, 0.2);
  }
  EXPECT_THROW(gaussian_kernel(0), UsageError);
  EXPECT_THROW(gaussian_kernel(1, 4), UsageError);
  EXPECT_THROW(gaussian_kernel(std::nan("")), UsageError);
}

TEST(GaussianBlur, WorksOnImagesSmallerThanItsKernel) {
  for (const int side : {1, 2, 3}) {
    cv::Mat image(side, side, CV_8UC3, cv::Scalar::all(77)), out;
    gaussian_blur(image, 2, 23, Border::kReflect, out);
    EXPECT_EQ(difference(out, image).max, 0);
    gaussian_blur(image, 2, 23, Border::kZero, out);
    EXPECT_LT(cv::mean(out)[0], 77);
  }
}

TEST(Draw, HappensAsOftenAsAsked) {
  const cv::Size image(64, 48);
  Random random({5, 0, 0, 0});
  int flips = 0, jitters = 0, blurs = 0;
  double sigma_sum = 0, brightness_least = 9, brightness_most = 0, hue_most = 0;
  std::vector<int> firsts(4), shifts(9);
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) {
    flips += make_params(RandomHorizontalFlip{0.3}, image, random).apply;
    const auto jitter = make_params(ColorJitter{0.8, 0.4, 2, 0, 0.2}, image, random);
    jitters += jitter.apply;
    ++firsts[jitter.order[0]];
    brightness_least = std::min(brightness_least, jitter.brightness);
    brightness_most = std::max(brightness_most, jitter.brightness);
    hue_most = std::max(hue_most, std::abs(jitter.hue));
    ASSERT_GE(jitter.contrast, 0);  // 1 - 2 is cut at 0
    ASSERT_EQ(jitter.saturation, 1);
    const auto blur = make_params(GaussianBlur{0.5, {0.1, 2}}, image, random);
    blurs += blur.apply;
    sigma_sum += blur.sigma;
    ++shifts[make_params(RandomShift{4}, image, random).x];
  }
  EXPECT_NEAR(flips / double(kDraws), 0.3, 0.015);
  EXPECT_NEAR(jitters / double(kDraws), 0.8, 0.015);
  EXPECT_NEAR(blurs / double(kDraws), 0.5, 0.015);
  EXPECT_NEAR(sigma_sum / kDraws, 1.05, 0.02);
  EXPECT_NEAR(brightness_least, 0.6, 0.001);
  EXPECT_NEAR(brightness_most, 1.4, 0.001);
  EXPECT_NEAR(hue_most, 0.2, 0.001);
  for (const int count : firsts) EXPECT_NEAR(count / double(kDraws), 0.25, 0.015);
  for (const int count : shifts) EXPECT_NEAR(count / double(kDraws), 1.0 / 9, 0.012);
  EXPECT_FALSE(make_params(RandomGrayscale{0}, image, random).apply);
  EXPECT_TRUE(make_params(RandomGrayscale{1}, image, random).apply);
}

}  // namespace
}  // namespace unlabel::augment
