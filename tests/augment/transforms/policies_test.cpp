#include <unlabel/augment/error.h>
#include <unlabel/augment/fused/fused_view.h>
#include <unlabel/augment/ops/geometry.h>
#include <unlabel/augment/ops/mix.h>
#include <unlabel/augment/transforms/pipeline.h>
#include <unlabel/augment/transforms/policies.h>

#include "refusal.h"
#include <gtest/gtest.h>
#include <opencv2/core.hpp>

#include <cmath>
#include <map>
#include <numeric>
#include <set>

namespace unlabel::augment::policies_test {
namespace {

using nlohmann::json;

cv::Mat noise(int height, int width, int type = CV_8UC3) {
  cv::Mat image(height, width, type);
  cv::RNG rng(7);
  rng.fill(image, cv::RNG::UNIFORM, 0, CV_MAT_DEPTH(type) == CV_8U ? 256 : 1);
  return image;
}

Pipeline pipeline_of(const std::string& steps) { return Pipeline::from_json(json::parse("[" + steps + "]")); }

double distance(const cv::Mat& a, const cv::Mat& b) { return cv::norm(a.reshape(1), b.reshape(1), cv::NORM_INF); }

TEST(Affine, MovesAndTurnsWholePixels) {
  const cv::Mat image = noise(9, 9);
  cv::Mat out, turned;
  for (const auto sampling : {Sampling::kNearest, Sampling::kBilinear}) {
    affine(image, rotation_matrix(90, image.size()), sampling, 0, out);
    cv::rotate(image, turned, cv::ROTATE_90_COUNTERCLOCKWISE);
    EXPECT_EQ(distance(out, turned), 0);
    affine(image, affine_matrix({.translate = {2, -3}}, {4.5, 4.5}), sampling, 1, out);
    EXPECT_EQ(distance(out(cv::Rect(2, 0, 7, 6)), image(cv::Rect(0, 3, 7, 6))), 0);
    EXPECT_EQ(distance(out(cv::Rect(0, 0, 2, 9)), cv::Mat(9, 2, CV_8UC3, cv::Scalar::all(255))), 0);
  }
}

TEST(Affine, TakesFloatsAndAnyChannels) {
  for (const int type : {CV_32FC1, CV_32FC3, CV_8UC1}) {
    const cv::Mat image = noise(8, 11, type);
    cv::Mat out;
    affine(image, affine_matrix({.translate = {0, 2}}, {}), Sampling::kBilinear, 0.25, out);
    EXPECT_LT(distance(out.rowRange(2, 8), image.rowRange(0, 6)), 1e-6);
    const double fill = CV_MAT_DEPTH(type) == CV_8U ? 64 : 0.25;
    EXPECT_EQ(distance(out.rowRange(0, 2), cv::Mat(2, 11, type, cv::Scalar::all(fill))), 0);
  }
}

TEST(Affine, SurvivesAnyMatrixAndRefusesWhatIsNone) {
  const cv::Mat image = noise(5, 7);
  cv::Mat out;
  for (const double value : {0.0, -1e12, 1e12, 32767.999, -0.5, 1e-300})
    for (int place = 0; place < 6; ++place)
      for (const auto sampling : {Sampling::kNearest, Sampling::kBilinear}) {
        AffineMatrix matrix{1, 0, 0, 0.25, 1, 0};
        matrix[place] = value;
        EXPECT_NO_THROW(affine(image, matrix, sampling, 0, out));
      }
  EXPECT_THROW(affine(image, {1, 0, NAN, 0, 1, 0}, Sampling::kNearest, 0, out), UsageError);
  EXPECT_THROW(affine(image, {1, 0, 1e13, 0, 1, 0}, Sampling::kNearest, 0, out), UsageError);
  EXPECT_THROW(affine(noise(4, 4, CV_16UC1), {1, 0, 0, 0, 1, 0}, Sampling::kNearest, 0, out), UsageError);
}

TEST(AutoAugment, HasTorchvisionsMagnitudes) {
  const auto rand = [](const char* operation, int bin) {
    return auto_magnitude(AutoSpace::kRand, operation, bin, 31, {331, 662});
  };
  const auto wide = [](const char* operation, int bin) {
    return auto_magnitude(AutoSpace::kTrivialWide, operation, bin, 31, {331, 662});
  };
  // Of torch.linspace, in float32: the golden values have all of them.
  EXPECT_EQ(rand("ShearX", 9), 0.09f);
  EXPECT_EQ(rand("TranslateX", 11), 55);
  EXPECT_EQ(rand("TranslateX", 30), 150);
  EXPECT_EQ(rand("TranslateY", 30), 300);
  EXPECT_EQ(rand("Rotate", 15), 15);
  EXPECT_EQ(rand("Color", 30), 0.9f);
  EXPECT_EQ(rand("Posterize", 9), 7);  // 8 - round(1.2)
  EXPECT_EQ(rand("Posterize", 30), 4);
  EXPECT_EQ(rand("Solarize", 9), 178.5);
  EXPECT_EQ(rand("Equalize", 30), 0);
  EXPECT_EQ(wide("TranslateX", 15), 15.999999046325684) << "moves by 15 pixels";
  EXPECT_EQ(wide("TranslateY", 30), 32);
  EXPECT_EQ(wide("Rotate", 30), 135);
  EXPECT_EQ(wide("Posterize", 30), 2);
  EXPECT_THROW(rand("ShearX", 31), UsageError);
  EXPECT_EQ(refusal([&] { rand("SharX", 1); }),
            "there is no operation 'SharX' to augment with (did you mean 'ShearX'?)");
}

TEST(AutoAugment, WorksInPlace) {
  for (const auto& operation : auto_operations()) {
    cv::Mat image = noise(9, 7), apart;
    apply_auto(image, operation, 4, Sampling::kBilinear, 0.5, apart);
    apply_auto(image, operation, 4, Sampling::kBilinear, 0.5, image);
    EXPECT_EQ(cv::norm(image, apart, cv::NORM_INF), 0) << operation;
  }
}

TEST(AutoAugment, RefusesOtherTypesAndAmounts) {
  cv::Mat out;
  for (const auto& operation : auto_operations())
    EXPECT_THROW(apply_auto(noise(4, 4, CV_32FC3), operation, 0, Sampling::kNearest, 0, out), UsageError) << operation;
  const cv::Mat image = noise(4, 4);
  EXPECT_THROW(apply_auto(image, "Posterize", 9, Sampling::kNearest, 0, out), UsageError);
  EXPECT_THROW(apply_auto(image, "Brightness", -1.1, Sampling::kNearest, 0, out), UsageError);
  EXPECT_THROW(apply_auto(image, "Rotate", NAN, Sampling::kNearest, 0, out), UsageError);
  EXPECT_THROW(posterize(image, -1, out), UsageError);
  EXPECT_THROW(adjust_sharpness(image, -0.1, out), UsageError);
}

const char* kEverything =
    R"({"op": "RandomResizedCrop", "size": 20}, {"op": "RandomRotation", "degrees": [-30, 45], "fill": 0.5},
  {"op": "RandomAffine", "degrees": [0, 0], "translate": [0.2, 0.1], "scale": [0.5, 1.5], "shear": [-20, 20],
   "interpolation": "bilinear"}, {"op": "RandAugment", "num_ops": 3}, {"op": "TrivialAugmentWide"}, {"op": "RandomErasing"},
  {"op": "Normalize"}, {"op": "RandomErasing", "value": -7})";

TEST(Policies, ReplayExactlyFromJson) {
  const Pipeline pipeline = pipeline_of(kEverything);
  EXPECT_EQ(Pipeline::from_json(pipeline.to_json()).to_json(), pipeline.to_json());
  EXPECT_FALSE(can_fuse(pipeline));
  const cv::Mat image = noise(50, 60), before = image.clone();
  std::set<std::vector<float>> views;
  for (std::uint64_t sample = 0; sample < 200; ++sample) {
    const auto params = pipeline.make_params(image.size(), {1, 2, sample, 0});
    const auto again = pipeline.params_from_json(json::parse(pipeline.params_to_json(params).dump()));
    ASSERT_EQ(again, params);
    std::vector<float> view(pipeline.output_shape().size(), NAN), replayed = view;
    pipeline.apply(image, params, view.data());
    pipeline.apply(image, again, replayed.data());
    ASSERT_EQ(view, replayed);
    for (const float value : view) ASSERT_TRUE(std::isfinite(value));
    views.insert(view);
  }
  EXPECT_GE(views.size(), 180u);  // some operations leave nothing but one color
  EXPECT_EQ(distance(image, before), 0);
}

TEST(Policies, DrawWithinTheirRanges) {
  const Pipeline pipeline = pipeline_of(kEverything);
  std::map<std::string, int> chosen;
  int erased = 0, negative = 0, strengths = 0;
  constexpr int kDraws = 4000;
  for (std::uint64_t sample = 0; sample < kDraws; ++sample) {
    const auto params = pipeline.make_params({60, 50}, {3, 0, sample, 0});
    const auto& turn = std::get<AffineParams>(params[1]);
    EXPECT_TRUE(turn.angle >= -30 && turn.angle <= 45);
    const auto& moved = std::get<AffineParams>(params[2]);
    EXPECT_TRUE(std::abs(moved.translate[0]) <= 4 && std::abs(moved.translate[1]) <= 2 && moved.angle == 0);
    EXPECT_TRUE(moved.scale >= 0.5 && moved.scale <= 1.5 && std::abs(moved.shear) <= 20);
    const auto& rand = std::get<PolicyParams>(params[3]);
    ASSERT_EQ(rand.operations.size(), 3u);
    for (std::size_t i = 0; i < 3; ++i) {
      ++chosen[rand.operations[i]];
      EXPECT_EQ(std::abs(rand.magnitudes[i]), auto_magnitude(AutoSpace::kRand, rand.operations[i], 9, 31, {20, 20}));
      negative += rand.magnitudes[i] < 0 ? 1 : 0;
    }
    const auto& wide = std::get<PolicyParams>(params[4]);
    ASSERT_EQ(wide.operations.size(), 1u);
    strengths += wide.operations[0] == "Rotate" && std::abs(wide.magnitudes[0]) > 67.5 ? 1 : 0;
    const auto& box = std::get<EraseParams>(params[5]);
    erased += box.width > 0 ? 1 : 0;
    if (box.width > 0) {
      EXPECT_TRUE(box.width < 20 && box.height < 20 && box.x + box.width <= 20 && box.y + box.height <= 20);
    }
  }
  ASSERT_EQ(chosen.size(), auto_operations().size());
  const double each = 3.0 * kDraws / 14;
  for (const auto& [operation, times] : chosen) EXPECT_NEAR(times, each, 5 * std::sqrt(each)) << operation;
  EXPECT_NEAR(negative, 3.0 * kDraws * 9 / 14 / 2, 5 * std::sqrt(3.0 * kDraws / 4));  // nine go either way
  EXPECT_NEAR(strengths, kDraws / 14.0 / 2, 5 * std::sqrt(kDraws / 28.0));
  EXPECT_NEAR(erased, kDraws / 2.0, 5 * std::sqrt(kDraws / 4.0));
}

TEST(Policies, ErasesWhatWasDrawn) {
  const Pipeline pipeline =
      pipeline_of(R"({"op": "CenterCrop", "size": 10}, {"op": "Normalize", "mean": [0, 0, 0], "std": [1, 1, 1]},
                                           {"op": "RandomErasing", "value": -7})");
  const cv::Mat white(10, 10, CV_8UC3, cv::Scalar::all(255));
  std::vector<float> view(300);
  pipeline.apply(white, std::vector<TransformParams>{NoParams{}, NoParams{}, EraseParams{2, 3, 4, 5}}, view.data());
  EXPECT_NEAR(std::accumulate(view.begin(), view.end(), 0.0), 3 * (80 - 7 * 20), 1e-4);
  EXPECT_EQ(view[3 * 10 + 2], -7);
  EXPECT_EQ(view[2 * 10 + 2], 1);
  EXPECT_THROW(
      pipeline.apply(white, std::vector<TransformParams>{NoParams{}, NoParams{}, EraseParams{7, 3, 4, 5}}, view.data()),
      UsageError);
}

TEST(Policies, SayWhatIsWrong) {
  const auto said = [](const std::string& step, const std::string& before = R"({"op": "CenterCrop"}, )") {
    return refusal([&] { pipeline_of(before + step); });
  };
  EXPECT_EQ(said(R"({"op": "RandAugment", "magnitude": 31})"),
            "pipeline step 2 (RandAugment): magnitude must be 0 to 30, not 31");
  EXPECT_EQ(said(R"({"op": "RandomRotation", "interpolation": "bicubic"})"),
            "pipeline step 2 (RandomRotation): 'interpolation' takes 'nearest' or 'bilinear', not \"bicubic\"");
  EXPECT_EQ(said(R"({"op": "RandomRotation"})", R"({"op": "CenterCrop"}, {"op": "Normalize"}, )"),
            "pipeline step 3 (RandomRotation): fills with a color: move it before Normalize");
  EXPECT_EQ(said(R"({"op": "RandAugment"})", R"({"op": "CenterCrop"}, {"op": "ColorJitter", "family": "byol"}, )"),
            "pipeline step 3 (RandAugment): works on whole levels: move it before the first step of BYOL's family");
  EXPECT_EQ(said(R"({"op": "RandomErasing", "value": 2})"),
            "pipeline step 2 (RandomErasing): value is a fraction of white before Normalize, in [0, 1], not 2");
  for (const char* wrong :
       {R"({"op": "RandAugment", "num_ops": 0})", R"({"op": "RandAugment", "fill": 2})",
        R"({"op": "TrivialAugmentWide", "num_magnitude_bins": 1})", R"({"op": "RandomAffine", "shear": [-90, 0]})",
        R"({"op": "RandomAffine", "scale": [0, 1]})", R"({"op": "RandomAffine", "translate": [2, 0]})",
        R"({"op": "RandomRotation", "degrees": [10, -10]})", R"({"op": "RandomErasing", "scale": [0, 1]})"})
    EXPECT_NE(said(wrong), "(accepted)") << wrong;

  const Pipeline pipeline =
      pipeline_of(R"({"op": "CenterCrop", "size": 9}, {"op": "RandAugment"}, {"op": "RandomAffine"})");
  const cv::Mat image = noise(9, 9);
  std::vector<float> view(pipeline.output_shape().size());
  const auto replayed = [&](const PolicyParams& operations, const AffineParams& affine) {
    return refusal([&] {
      pipeline.apply(image, std::vector<TransformParams>{NoParams{}, operations, affine}, view.data());
    });
  };
  EXPECT_EQ(replayed({{"Rotate"}, {30}}, {}), "(accepted)");
  EXPECT_EQ(replayed({{"Rotate"}, {}}, {}),
            "there are 1 operations and 0 magnitudes: one each is needed, and at most 16");
  EXPECT_NE(replayed({{"Turn"}, {30}}, {}), "(accepted)");
  EXPECT_NE(replayed({}, {.scale = 0}), "(accepted)");
  EXPECT_NE(replayed({}, {.angle = NAN}), "(accepted)");
}

TEST(Mix, DrawsSharesOfABeta) {
  for (const double alpha : {0.2, 1.0, 3.0}) {
    constexpr int kDraws = 20000;
    double sum = 0, squares = 0;
    for (std::uint64_t batch = 0; batch < kDraws; ++batch) {
      Random random({5, 0, batch, 0});
      const double share = draw_share(alpha, random);
      ASSERT_TRUE(share >= 0 && share <= 1);
      sum += share;
      squares += (share - 0.5) * (share - 0.5);
    }
    const double variance = 1 / (4 * (2 * alpha + 1));
    EXPECT_NEAR(sum / kDraws, 0.5, 5 * std::sqrt(variance / kDraws)) << alpha;
    EXPECT_NEAR(squares / kDraws, variance, 0.05 * variance) << alpha;
  }
  Random random({});
  for (const double alpha : {0.0, -1.0, 2e6}) EXPECT_THROW(draw_share(alpha, random), UsageError);
  const double tiny = draw_share(1e-9, random);
  EXPECT_TRUE(tiny >= 0 && tiny <= 1);
}

TEST(Mix, MixesWithTheSampleBefore) {
  std::vector<float> batch{1, 2, 10, 20, 100, 200};
  mixup(batch, 3, 0.75);
  EXPECT_EQ(batch, (std::vector<float>{0.75f + 25, 1.5f + 50, 7.5f + 0.25f, 15.5f, 77.5f, 155}));
  EXPECT_THROW(mixup(batch, 4, 0.5), UsageError);
  EXPECT_THROW(mixup(batch, 3, 1.5), UsageError);

  std::vector<float> images(2 * 2 * 3 * 4);
  std::iota(images.begin(), images.end(), 0.0f);
  const auto before = images;
  EXPECT_NEAR(cutmix(images, 2, 2, {4, 3}, {1, 0, 2, 2}), 1 - 4 / 12.0, 1e-12);
  for (int i = 0; i < 48; ++i) {
    const int x = i % 4, y = i / 4 % 3;
    const bool taken = x >= 1 && x < 3 && y < 2;
    EXPECT_EQ(images[i], before[taken ? (i + 24) % 48 : i]) << i;
  }
  EXPECT_THROW(cutmix(images, 2, 2, {4, 3}, {3, 0, 2, 2}), UsageError);
  EXPECT_THROW(cutmix(images, 2, 3, {4, 3}, {}), UsageError);

  const std::vector<std::int64_t> labels{0, 2, 2};
  std::vector<float> mixed(9);
  mix_labels(labels, 3, 0.75, mixed);
  EXPECT_EQ(mixed, (std::vector<float>{0.75f, 0, 0.25f, 0.25f, 0, 0.75f, 0, 0, 1}));
  EXPECT_THROW(mix_labels(labels, 2, 0.5, std::span<float>(mixed.data(), 6)), UsageError);
  EXPECT_THROW(mix_labels(labels, 3, 1.5, mixed), UsageError);
}

TEST(Mix, BoxesHaveTheShareThatIsLeft) {
  double area = 0;
  constexpr int kDraws = 2000;
  for (std::uint64_t batch = 0; batch < kDraws; ++batch) {
    Random random({6, 0, batch, 0});
    const cv::Rect box = cutmix_box(0.91, {100, 50}, random);  // sides of .3
    EXPECT_TRUE(box.x >= 0 && box.y >= 0 && box.x + box.width <= 100 && box.y + box.height <= 50);
    EXPECT_TRUE(box.width <= 30 && box.height <= 15);
    area += box.area() / 5000.0;
  }
  EXPECT_NEAR(area / kDraws, 0.28 * 0.28 * 0.85,
              0.012);  // 14 of 50 pixels up and down; a part is cut off at the border
  Random random({});
  EXPECT_EQ(cutmix_box(1, {10, 10}, random).area(), 0);
  EXPECT_THROW(cutmix_box(0.5, {0, 10}, random), UsageError);
}

}  // namespace
}  // namespace unlabel::augment::policies_test
