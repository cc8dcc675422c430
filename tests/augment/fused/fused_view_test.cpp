#include <unlabel/augment/codec/decode.h>
#include <unlabel/augment/codec/decoders.h>
#include <unlabel/augment/fused/fused_view.h>
#include <unlabel/augment/fused/view_kernel.h>
#include <unlabel/augment/transforms/presets.h>

#include "augment/codec/jpeg.h"
#include "augment/distances.h"
#include "refusal.h"
#include <gtest/gtest.h>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <new>
#include <random>
#include <set>
#include <thread>

namespace {
thread_local std::int64_t allocations = 0;
}

void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {  // or a sanitizer's own answers for it
  ++allocations;
  return std::malloc(size);
}
void* operator new(std::size_t size, std::align_val_t to) {
  ++allocations;
  const auto line = static_cast<std::size_t>(to);
  if (void* memory = std::aligned_alloc(line, (size + line - 1) / line * line)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace unlabel::augment {
namespace {

using nlohmann::json;

/// Slopes, textures, an edge and saturated colors, as photographs have them.
cv::Mat scene(int height, int width) {
  cv::Mat image(height, width, CV_8UC3);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const double u = x / 97.0, v = y / 71.0, texture = 12 * std::sin(x * 0.9) * std::cos(y * 0.7);
      const bool inside = std::hypot(x - 0.4 * width, y - 0.6 * height) < 0.25 * height;
      const double red = 120 + 90 * std::sin(u + 0.3 * v) + texture, green = 110 + 80 * std::cos(1.7 * v - u) + texture;
      const double blue = 130 + 100 * std::sin(0.6 * u * v + 1) + 0.5 * texture;
      const auto level = [](double value) { return cv::saturate_cast<uchar>(value); };
      image.at<cv::Vec3b>(y, x) = inside ? cv::Vec3b(level(blue + 40), level(red - 40), level(green))
                                         : cv::Vec3b(level(red), level(green), level(blue));
    }
  return image;
}

ImageSource jpeg(const cv::Mat& image, cv::Size sampling, bool progressive = false) {
  return {encode_jpeg(image, JCS_RGB, JCS_YCbCr, progressive, sampling), {}};
}

/// Both ways with the same parameters, in levels of 0 to 255.
struct Both {
  std::vector<float> exact, fused;
};

Both both(const Pipeline& pipeline, const ImageSource& source, const ViewKey& key) {
  Both views;
  views.exact.resize(pipeline.output_shape().size(), NAN);
  views.fused = views.exact;
  PlanarImage planes;
  decode_planes(source, {}, planes);
  const cv::Mat image = decode(source);
  EXPECT_EQ(planes.size, image.size());
  const auto params = pipeline.make_params(image.size(), key);
  pipeline.apply(image, params, views.exact.data());
  apply_fused(pipeline, planes, params, views.fused.data());
  to_levels(pipeline, views.exact);
  to_levels(pipeline, views.fused);
  return views;
}

double mean_distance(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::abs(a[i] - b[i]);
  return sum / static_cast<double>(a.size());
}

/// Below which a share of all differences lies.
double quantile(const std::vector<float>& a, const std::vector<float>& b, double share) {
  std::vector<float> differences(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) differences[i] = std::abs(a[i] - b[i]);
  const auto at = differences.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(a.size() - 1));
  std::nth_element(differences.begin(), at, differences.end());
  return *at;
}

Pipeline pipeline_of(const std::string& steps) { return Pipeline::from_json(json::parse("[" + steps + "]")); }

std::string crop(int size, const std::string& scale, const std::string& more = "") {
  return R"({"op": "RandomResizedCrop", "size": )" + std::to_string(size) + R"(, "scale": )" + scale + more + "}";
}

/// Runs a test's body with every set of instructions, the portable one last.
class FusedView : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { use_instruction_set(GetParam()); }
  void TearDown() override { use_instruction_set(""); }
};

INSTANTIATE_TEST_SUITE_P(On, FusedView, ::testing::ValuesIn(instruction_sets()),
                         [](const auto& set) { return set.param; });

TEST_P(FusedView, ResizesAsTheExactWay) {
  const cv::Mat image = scene(200, 300);
  struct Case {
    const char* name;
    ImageSource source;
    double mean;  // what may differ: the colors' upsampling, where they are stored at half the size
  };
  const Case cases[] = {{"pixels", {{}, image}, 0.26},
                        {"4:4:4", jpeg(image, {1, 1}), 0.3},
                        {"4:4:4 progressive", jpeg(image, {1, 1}, true), 0.3},
                        {"4:2:2", jpeg(image, {2, 1}), 0.5},
                        {"4:2:0", jpeg(image, {2, 2}), 0.6},
                        {"4:1:1", jpeg(image, {4, 1}), 0.8}};
  for (const auto& [name, source, most] : cases)
    for (const auto* how : {R"(, "interpolation": "bilinear")", R"(, "interpolation": "bicubic")"})
      for (const auto& [size, scale] : {std::pair{64, "[0.3, 1]"}, {37, "[0.9, 1]"}, {150, "[0.05, 0.2]"}}) {
        const auto pipeline = pipeline_of(crop(size, scale, how) + R"(, {"op": "RandomHorizontalFlip"})");
        for (std::uint64_t sample = 0; sample < 3; ++sample) {
          const auto views = both(pipeline, source, {1, 0, sample, 0});
          EXPECT_LT(mean_distance(views.exact, views.fused), most)
              << name << how << " " << size << " sample " << sample;
        }
      }
}

// Where libjpeg repeats a sample and where it weighs neighbors depends on the sampling and on the size. The colors alternate, so that
// one for the other would be tens of levels off.
TEST_P(FusedView, UpsamplesAsLibjpeg) {
  const auto striped = [](int height, int width) {
    cv::Mat image(height, width, CV_8UC3);
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x)
        image.at<cv::Vec3b>(y, x) = (x / 2 + y / 2) % 2 ? cv::Vec3b(200, 90, 90) : cv::Vec3b(90, 120, 190);
    return image;
  };
  for (const cv::Size sampling : {cv::Size(2, 1), cv::Size(2, 2), cv::Size(1, 2), cv::Size(4, 1), cv::Size(4, 2)})
    for (const cv::Size size : {cv::Size(24, 24), cv::Size(4, 24), cv::Size(24, 4), cv::Size(3, 3), cv::Size(5, 2)}) {
      const auto pipeline = pipeline_of(R"({"op": "RandomResizedCrop", "size": [)" + std::to_string(size.height) +
                                        ", " + std::to_string(size.width) + R"(], "scale": [1, 1], "ratio": [)" +
                                        std::to_string(static_cast<double>(size.width) / size.height - 1e-6) + ", " +
                                        std::to_string(static_cast<double>(size.width) / size.height + 1e-6) + "]}");
      const auto views = both(pipeline, jpeg(striped(size.height, size.width), sampling), {1, 0, 0, 0});
      EXPECT_LT(quantile(views.exact, views.fused, 1), 3.5) << size << " sampled " << sampling;
    }
}

TEST_P(FusedView, ShrinksAsTheExactWay) {
  const cv::Mat image = scene(900, 4100);
  for (const auto* how : {R"(, "interpolation": "bilinear")", R"(, "interpolation": "bicubic")"})
    for (const int size : {3, 20, 40, 90, 200}) {
      const auto views =
          both(pipeline_of(crop(size, "[0.9, 1]", how + std::string(R"(, "ratio": [4, 5])"))), {{}, image}, {});
      EXPECT_LT(mean_distance(views.exact, views.fused), 0.4) << how << " to " << size;
    }
}

TEST_P(FusedView, GreyImagesStayGrey) {
  cv::Mat gray;
  cv::cvtColor(scene(90, 70), gray, cv::COLOR_RGB2GRAY);
  const ImageSource sources[] = {{{}, gray},
                                 {encode_jpeg(gray, JCS_GRAYSCALE, JCS_GRAYSCALE), {}},
                                 {encode_jpeg(gray, JCS_GRAYSCALE, JCS_GRAYSCALE, false, {2, 2}), {}}};
  for (const auto& source : sources) {
    const auto views = both(pipeline_of(crop(40, "[0.5, 1]")), source, {2, 0, 0, 0});
    EXPECT_LT(mean_distance(views.exact, views.fused), 0.3);
    for (int i = 0; i < 40 * 40; ++i) ASSERT_EQ(views.fused[i], views.fused[i + 1600]);
  }
}

TEST_P(FusedView, ColoursAndBlursAsTheExactWay) {
  const ImageSource source{{}, scene(120, 160)};
  const std::string start = crop(72, "[0.4, 1]") + ", ";
  struct Case {
    const char* steps;
    double mean, tail;  // levels: the mean difference, and the 99.9th percentile
  };
  const Case cases[] = {
      {R"({"op": "ColorJitter", "brightness": 0.8})", 0.5, 3},
      {R"({"op": "ColorJitter", "contrast": 0.8})", 0.5, 3},
      {R"({"op": "ColorJitter", "saturation": 0.8})", 0.5, 3},
      {R"({"op": "ColorJitter", "hue": 0.5})", 0.5,
       7},  // PIL has 256 hues: a channel moves by up to 6 levels between two
      {R"({"op": "RandomGrayscale", "p": 1})", 0.5, 3},
      {R"({"op": "GaussianBlur"})", 0.5, 3},
      {R"({"op": "GaussianBlur", "sigma": [3, 18]})", 0.5, 3},
      {R"({"op": "GaussianBlur", "kernel_size": 11, "border": "zero"})", 0.5, 3},
      {R"({"op": "GaussianBlur", "kernel_size": 129, "sigma": [50, 60]})", 0.5, 3},
  };
  for (const auto& [steps, mean, tail] : cases)
    for (std::uint64_t sample = 0; sample < 4; ++sample) {
      const auto views = both(pipeline_of(start + steps), source, {3, 0, sample, 0});
      EXPECT_LT(mean_distance(views.exact, views.fused), mean) << steps << " sample " << sample;
      EXPECT_LT(quantile(views.exact, views.fused, 0.999), tail) << steps << " sample " << sample;
    }
  const auto wide =
      both(pipeline_of(crop(20, "[0.4, 1]") + R"(, {"op": "GaussianBlur", "kernel_size": 129, "sigma": [18, 18]})"),
           source, {});
  EXPECT_LT(mean_distance(wide.exact, wide.fused), 0.5) << "a blur wider than the view";
  // What inverts is no continuous operation: a level at the threshold may fall on either side.
  for (const auto* steps :
       {R"({"op": "RandomSolarize", "p": 1})", R"({"op": "GaussianBlur"}, {"op": "RandomSolarize", "p": 1})"}) {
    const auto views = both(pipeline_of(start + steps), source, {3, 1, 0, 0});
    EXPECT_LT(quantile(views.exact, views.fused, 0.95), 1.5) << steps;
  }
}

TEST_P(FusedView, MakesWholePresets) {
  const ImageSource source = jpeg(scene(240, 320), {1, 1});
  for (const auto* name : {"swav", "simclr", "deepcluster"}) {
    const MultiCrop crops = preset(name, {.global_size = 72});
    double sum = 0;
    for (std::uint64_t sample = 0; sample < 4; ++sample)
      for (int view = 0; view < crops.views(); ++view) {
        const auto views = both(crops.pipeline(view), source, {4, 0, sample, static_cast<std::uint32_t>(view)});
        sum += mean_distance(views.exact, views.fused);
      }
    EXPECT_LT(sum / (4 * crops.views()), 0.6) << name;
  }
}

TEST_P(FusedView, IsTheSameOnEveryMachineButForRounding) {
  const MultiCrop crops = preset("swav", {.global_size = 50, .local_size = 21});
  PlanarImage planes;
  decode_planes(jpeg(scene(131, 173), {2, 2}), {}, planes);
  for (std::uint64_t sample = 0; sample < 4; ++sample)
    for (const int view : {0, 2}) {
      const auto& pipeline = crops.pipeline(view);
      const auto params = pipeline.make_params(planes.size, {5, 0, sample, 0});
      std::vector<float> here(pipeline.output_shape().size(), NAN), fastest = here;
      use_instruction_set(GetParam());
      apply_fused(pipeline, planes, params, here.data());
      use_instruction_set("");
      apply_fused(pipeline, planes, params, fastest.data());
      to_levels(pipeline, here);
      to_levels(pipeline, fastest);
      EXPECT_LT(mean_distance(here, fastest), 0.01) << "sample " << sample;
    }
}

TEST_P(FusedView, WritesNoMoreThanTheView) {
  const auto pipeline = pipeline_of(crop(5, "[0.1, 1]") + R"(, {"op": "GaussianBlur", "p": 0.5}, {"op": "Normalize"})");
  PlanarImage planes;
  decode_planes({{}, scene(9, 7)}, {}, planes);
  for (std::uint64_t sample = 0; sample < 10; ++sample) {
    std::vector<float> out(pipeline.output_shape().size() + 1, 1234);
    apply_fused(pipeline, planes, pipeline.make_params(planes.size, {6, 0, sample, 0}), out.data());
    EXPECT_EQ(out.back(), 1234);
    for (std::size_t i = 0; i + 1 < out.size(); ++i) EXPECT_LT(std::abs(out[i]), 10);
  }
}

/// A view between two strips of memory that nobody may write to.
class Guarded {
 public:
  explicit Guarded(std::size_t size) : floats_(size + 2 * kStrip, kUntouched) {}

  float* view() { return floats_.data() + kStrip; }
  std::vector<float> copy() const { return {floats_.begin() + kStrip, floats_.end() - kStrip}; }
  bool is_intact() const {
    const auto untouched = [](float value) { return value == kUntouched; };
    return std::all_of(floats_.begin(), floats_.begin() + kStrip, untouched) &&
           std::all_of(floats_.end() - kStrip, floats_.end(), untouched);
  }

 private:
  static constexpr std::ptrdiff_t kStrip = 128;
  static constexpr float kUntouched = 1234;
  std::vector<float> floats_;
};

/// Every kind of planes at odd sizes, as they are stored and decoded.
struct OddImage {
  std::string name;
  cv::Mat image;
  PlanarImage planes;
};

std::vector<OddImage> odd_images() {
  std::vector<OddImage> images;
  const auto add = [&](const std::string& name, const ImageSource& source) {
    auto& made = images.emplace_back(OddImage{name, decode(source), {}});
    decode_planes(source, {}, made.planes);
  };
  for (const cv::Size size : {cv::Size(37, 29), cv::Size(6, 190), cv::Size(211, 7), cv::Size(5, 4), cv::Size(2, 3)}) {
    const cv::Mat image = scene(size.height, size.width);
    const std::string sides = " " + std::to_string(size.width) + " x " + std::to_string(size.height);
    cv::Mat gray;
    cv::cvtColor(image, gray, cv::COLOR_RGB2GRAY);
    add("pixels" + sides, {{}, image});
    add("gray" + sides, {encode_jpeg(gray, JCS_GRAYSCALE, JCS_GRAYSCALE), {}});
    add("4:4:4" + sides, jpeg(image, {1, 1}));
    add("4:4:0" + sides, jpeg(image, {1, 2}));
    add("4:2:2" + sides, jpeg(image, {2, 1}));
    add("4:2:0" + sides, jpeg(image, {2, 2}));
  }
  return images;
}

/// The whole, single columns, rows and pixels, and a corner.
std::vector<cv::Rect> odd_boxes(cv::Size size) {
  const cv::Size corner(std::min(size.width, 3), std::min(size.height, 2));
  return {{{0, 0}, size},
          {size.width / 2, size.height / 2, 1, 1},
          {size.width - 1, 0, 1, size.height},
          {0, size.height - 1, size.width, 1},
          {cv::Point(size - corner), corner}};
}

/// A suite of its own: it takes long under sanitizers.
class OddFusedView : public FusedView {};

INSTANTIATE_TEST_SUITE_P(On, OddFusedView, ::testing::ValuesIn(instruction_sets()),
                         [](const auto& set) { return set.param; });

TEST_P(OddFusedView, MakesOddSizesOfOddBoxes) {
  static const auto images = odd_images();
  std::vector<int> sides{31, 33};
  for (int side = 1; side <= 17; ++side) sides.push_back(side);
  std::mt19937 random(1);
  std::map<std::string, Distances> distances;
  for (const int height : sides)
    for (const int width : sides)
      for (const auto& [name, image, planes] : images) {
        if (random() % 2 == 0) continue;
        const auto boxes = odd_boxes(planes.size);
        const cv::Rect box = boxes[random() % boxes.size()];
        const bool mirrored = random() % 2 == 0, blurred = random() % 4 == 0, zero = random() % 2 == 0;
        RandomResizedCrop crop{{height, width}};
        if (random() % 2 == 0) crop.interpolation = Interpolation::kBicubic;
        const Pipeline pipeline(
            {crop, RandomHorizontalFlip{}, GaussianBlur{1, {10, 10}, 0, zero ? Border::kZero : Border::kReflect}});
        const std::vector<TransformParams> params{CropParams{box.x, box.y, box.width, box.height},
                                                  ApplyParams{mirrored},
                                                  BlurParams{blurred, 10}};  // of 35 pixels to each side
        const std::string what = name + " box " + std::to_string(box.width) + " x " + std::to_string(box.height) +
                                 " to " + std::to_string(width) + " x " + std::to_string(height) +
                                 (mirrored ? " mirrored" : "") + (blurred ? " blurred" : "") +
                                 (crop.interpolation == Interpolation::kBicubic ? " bicubic" : "");
        Guarded exact(pipeline.output_shape().size()), fused(pipeline.output_shape().size());
        pipeline.apply(image, params, exact.view());
        apply_fused(pipeline, planes, params, fused.view());
        ASSERT_TRUE(exact.is_intact() && fused.is_intact()) << what;
        auto there = exact.copy(), here = fused.copy();
        to_levels(pipeline, there);
        to_levels(pipeline, here);
        EXPECT_LT(mean_distance(there, here), 1.01) << what;  // of a single gray pixel
        distances[name].add(there, here);
      }
  for (const auto& [name, apart] : distances) {
    EXPECT_LT(apart.mean(), 0.5) << name;
    EXPECT_LE(apart.greatest(), 16) << name;  // a bicubic overshoots, and PIL cuts that between its two passes
  }
}

TEST(FusedViews, AreTheSameOnTwoThreadsAtOnce) {
  const MultiCrop crops = preset("swav", {.global_size = 40, .local_size = 24});
  const std::vector<ImageSource> sources{jpeg(scene(60, 80), {2, 2}), jpeg(scene(90, 50), {1, 1}), {{}, scene(33, 47)}};
  constexpr std::uint64_t kSamples = 24;
  using Views = std::vector<std::vector<float>>;
  // All views of every `step`-th sample.
  const auto make = [&](std::uint64_t first, std::uint64_t step, std::vector<Views>& samples) {
    for (std::uint64_t sample = first; sample < kSamples; sample += step) {
      std::vector<float*> places;
      for (int v = 0; v < crops.views(); ++v)
        places.push_back(samples[sample].emplace_back(crops.shape(v).size(), NAN).data());
      crops(sources[sample % sources.size()], {9, 0, sample, 0}, places);
    }
  };
  std::vector<Views> by_one(kSamples), by_two(kSamples);
  make(0, 1, by_one);
  std::thread other(make, 1, 2, std::ref(by_two));
  make(0, 2, by_two);
  other.join();
  EXPECT_TRUE(by_one == by_two);
}

TEST(FusedViews, TakeWhatTheyKnow) {
  const auto can = [](const std::string& steps) { return can_fuse(pipeline_of(steps)); };
  const std::string start = crop(8, "[0.1, 1]");
  EXPECT_TRUE(can(start));
  EXPECT_TRUE(can(
      start + R"(, {"op": "ColorJitter"}, {"op": "RandomSolarize"}, {"op": "GaussianBlur"}, {"op": "RandomSolarize"},
                              {"op": "RandomHorizontalFlip"}, {"op": "Normalize"})"));
  EXPECT_FALSE(can(R"({"op": "CenterCrop", "size": 8})"));
  EXPECT_FALSE(can(R"({"op": "RandomGrayscale"}, )" + start));
  EXPECT_FALSE(can(start + ", " + start));
  for (const auto* step :
       {R"({"op": "ColorJitter", "family": "byol"})", R"({"op": "Grayscale"})", R"({"op": "RandomShift"})",
        R"({"op": "GaussianBlur"}, {"op": "GaussianBlur"})", R"({"op": "GaussianBlur"}, {"op": "ColorJitter"})",
        R"({"op": "GaussianBlur"}, {"op": "RandomGrayscale"})", R"({"op": "GaussianBlur", "sigma": [1, 20]})",
        R"({"op": "GaussianBlur", "kernel_size": 131})", R"({"op": "Normalize"}, {"op": "RandomHorizontalFlip"})"})
    EXPECT_FALSE(can(start + ", " + step)) << step;
  std::string many = start;
  for (int i = 0; i < 13; ++i) many += R"(, {"op": "RandomGrayscale"})";
  EXPECT_FALSE(can(many));
  EXPECT_TRUE(preset("swav").fused());
  EXPECT_FALSE(preset("swav", {.exact = true}).fused());
  EXPECT_FALSE(preset("byol").fused());
  EXPECT_FALSE(can(crop(8, "[0.1, 1]", R"(, "family": "byol")")));

  const auto center = pipeline_of(R"({"op": "CenterCrop", "size": 8})");
  PlanarImage planes;
  decode_planes({{}, scene(9, 9)}, {}, planes);
  std::vector<float> out(center.output_shape().size());
  EXPECT_EQ(refusal([&] {
              apply_fused(center, planes, center.make_params({9, 9}, {}), out.data());
            }),
            "this pipeline has steps that cannot be fused: use Pipeline::apply");
  const auto known = pipeline_of(start);
  EXPECT_EQ(refusal([&] {
              apply_fused(known, planes, std::vector<TransformParams>{CropParams{5, 0, 5, 5}}, out.data());
            }),
            "a box of 5 x 5 at (5, 0) does not fit in an image of 9 x 9");
  EXPECT_NE(refusal([] { use_instruction_set("AVX9"); }).find("there is no instruction set 'AVX9' here; there are "),
            std::string::npos);
}

TEST(FusedViews, AreWhatAMultiCropMakes) {
  const ImageSource source = jpeg(scene(90, 120), {2, 2});
  for (const bool exact : {false, true}) {
    const MultiCrop crops = preset("swav", {.global_size = 32, .local_size = 16, .exact = exact});
    EXPECT_EQ(MultiCrop::from_json(crops.to_json()).exact(), exact);
    std::vector<std::vector<float>> views;
    std::vector<float*> places;
    for (int v = 0; v < crops.views(); ++v) places.push_back(views.emplace_back(crops.shape(v).size(), NAN).data());
    const ViewKey key{7, 1, 2, 0};
    crops(source, key, places);
    PlanarImage planes;
    decode_planes(source, {}, planes);
    for (int v = 0; v < crops.views(); ++v) {
      auto of_view = key;
      of_view.view = static_cast<std::uint32_t>(v);
      const auto params = crops.pipeline(v).make_params(planes.size, of_view);
      std::vector<float> expected(views[v].size(), NAN), replayed = expected;
      if (exact || !fused_views_are_fast())
        crops.pipeline(v).apply(decode(source), params, expected.data());
      else
        apply_fused(crops.pipeline(v), planes, params, expected.data());
      EXPECT_EQ(views[v], expected) << "view " << v;
      crops.replay(source, v, crops.pipeline(v).params_from_json(crops.pipeline(v).params_to_json(params)),
                   replayed.data());
      EXPECT_EQ(replayed, expected) << "view " << v;
    }
    EXPECT_NE(refusal([&] { crops.replay(source, 8, {}, places[0]); }), "(accepted)");
  }
}

TEST(FusedViews, AllocateNothingOnceWarm) {
  if (!fused_views_are_fast()) GTEST_SKIP() << "there is only the portable way here";
  const MultiCrop crops = preset("swav", {.global_size = 64, .local_size = 32});
  const ImageSource source = jpeg(scene(150, 200), {2, 2});
  std::vector<std::vector<float>> views;
  std::vector<float*> places;
  for (int v = 0; v < crops.views(); ++v) places.push_back(views.emplace_back(crops.shape(v).size()).data());
  for (std::uint64_t sample = 0; sample < 200; ++sample) crops(source, {1, 0, sample, 0}, places);
  const auto before = allocations;
  for (std::uint64_t sample = 0; sample < 200; ++sample) crops(source, {1, 0, sample, 0}, places);
  EXPECT_EQ(allocations - before, 0);
  const auto counted = allocations;
  delete new int;
  EXPECT_EQ(allocations - counted, 1) << "allocations are not counted";
}

TEST(DecodePlanes, KeepsWhatTheFileHas) {
  const cv::Mat image = scene(37, 45);
  PlanarImage planes;
  decode_planes(jpeg(image, {2, 2}), {}, planes);
  EXPECT_EQ(planes.colors, PlanarImage::Colors::kYCbCr);
  EXPECT_EQ(planes.size, image.size());
  EXPECT_EQ(planes.planes[1].width, 23);
  EXPECT_EQ(planes.planes[1].height, 19);
  EXPECT_EQ(planes.planes[1].step_x, 2);
  decode_planes({encode_jpeg(image, JCS_RGB, JCS_RGB), {}}, {}, planes);
  ASSERT_EQ(planes.colors, PlanarImage::Colors::kRgb);
  const cv::Mat decoded = decode({encode_jpeg(image, JCS_RGB, JCS_RGB), {}});
  for (int y = 0; y < 37; ++y)
    for (int x = 0; x < 45; ++x)
      for (int c = 0; c < 3; ++c)
        ASSERT_EQ(planes.data(c)[y * planes.planes[c].stride + x], decoded.at<cv::Vec3b>(y, x)[c]);

  // Others come as RGB: CMYK, sampling by fractions, an EXIF turn.
  cv::Mat four(20, 30, CV_8UC4, cv::Scalar(10, 200, 30, 250));
  for (const auto& source : {ImageSource{encode_jpeg(four, JCS_CMYK, JCS_CMYK), {}}, jpeg(image, {3, 1})}) {
    decode_planes(source, {}, planes);
    EXPECT_EQ(planes.size, decode(source).size());
  }
  decode_planes({encode_jpeg(four, JCS_CMYK, JCS_CMYK), {}}, {}, planes);
  EXPECT_EQ(planes.colors, PlanarImage::Colors::kRgb);
  const auto upright = encode_jpeg(image, JCS_RGB, JCS_YCbCr);
  decode_planes({with_orientation(upright, 6, true), {}}, {.exif_orientation = true}, planes);
  EXPECT_EQ(planes.colors, PlanarImage::Colors::kRgb);
  EXPECT_EQ(planes.size, cv::Size(37, 45)) << "lies on its side";
  for (const auto& bytes : {upright, with_orientation(upright, 1, true)}) {
    decode_planes({bytes, {}}, {.exif_orientation = true}, planes);
    EXPECT_EQ(planes.colors, PlanarImage::Colors::kYCbCr) << "upright as it is";
  }
}

TEST(DecodePlanes, RefusesWhatDecodeRefuses) {
  PlanarImage planes;
  const auto both_say = [&](const ImageSource& source, const DecodeOptions& options = {}) {
    const auto said = refusal<Error>([&] { decode(source, options); });
    EXPECT_EQ(refusal<Error>([&] { decode_planes(source, options, planes); }), said);
    return said;
  };
  auto source = jpeg(scene(64, 64), {2, 2});
  EXPECT_EQ(both_say(source), "(accepted)");
  EXPECT_NE(both_say(source, {.max_pixels = 100}), "(accepted)");
  auto cut = source;
  cut.bytes.resize(cut.bytes.size() / 2);
  EXPECT_NE(both_say(cut), "(accepted)");
  auto corrupt = source;
  for (std::size_t i = corrupt.bytes.size() / 2; i < corrupt.bytes.size() / 2 + 40; ++i) corrupt.bytes[i] ^= 0x5a;
  both_say(corrupt);
  EXPECT_NE(both_say(corrupt, {.strict = true}), "(accepted)");
  both_say({{}, {}});
  both_say({{1, 2, 3}, {}});
}

/// The exact way equals Pillow bit by bit (SlowReference), so that these are the distances from it as well.
TEST(CiFusedView, StaysNearTheExactWayOnPhotographs) {
  const char* data = std::getenv("UNLABEL_DATA");
  const std::string folder = std::string(data ? data : "") + "/photos100";
  if (!data || !std::filesystem::is_directory(folder))
    GTEST_SKIP() << "set UNLABEL_DATA to a folder that holds photos100";
  struct Case {
    const char* name;
    Pipeline pipeline;
    double mean, worst, tail;  // of the photographs' means; the 99.9th percentile of all values of all of them
    Distances distances{};
  };
  const MultiCrop swav = preset("swav");
  const std::string start = crop(224, "[0.14, 1]") + R"(, {"op": "RandomHorizontalFlip"})";
  const auto jitter = [&](const std::string& strengths) {
    return pipeline_of(start + R"(, {"op": "ColorJitter", )" + strengths + "}");
  };
  const std::string three = R"("brightness": 0.8, "contrast": 0.8, "saturation": 0.8)";
  // A continuous operation leaves at most 3 levels to all but a thousandth of the values, hue excepted. One after the other multiply what
  // the resize has rounded otherwise: three factors of up to 1.8 make nearly 6 levels of one.
  Case cases[] = {
      {"resize to 224", pipeline_of(start), 0.3, 0.6, 3},
      {"resize to 96", pipeline_of(crop(96, "[0.05, 0.14]")), 0.3, 0.6, 3},
      {"brightness", jitter(R"("brightness": 0.8)"), 0.4, 0.8, 3},
      {"contrast", jitter(R"("contrast": 0.8)"), 0.4, 0.8, 3},
      {"saturation", jitter(R"("saturation": 0.8)"), 0.4, 0.8, 3},
      {"hue", jitter(R"("hue": 0.2)"), 0.5, 1.5, 4},  // PIL has 256 hues
      {"jitter without hue", jitter(three), 0.5, 1.5, 4},
      {"jitter", jitter(three + R"(, "hue": 0.2)"), 0.5, 1.5, 6},
      {"blur", pipeline_of(start + R"(, {"op": "GaussianBlur"})"), 0.3, 0.6, 3},
      {"SwAV, 224", swav.pipeline(0), 0.5, 1.5, 5},
      {"SwAV, 96", swav.pipeline(2), 0.5, 1.5, 4},
  };
  std::set<std::filesystem::path> names;  // sorted: what is drawn for a photograph is the same everywhere
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".JPEG") names.insert(entry.path());
  std::uint64_t photos = 0;
  for (const auto& name : names) {
    std::ifstream file(name, std::ios::binary);
    ImageSource source;
    source.bytes.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    ++photos;
    for (auto& c : cases) {
      const auto views = both(c.pipeline, source, {8, 0, photos, 0});
      c.distances.add(views.exact, views.fused);
    }
  }
  ASSERT_GT(photos, 0u);
  for (const auto& c : cases) {
    std::printf("%s: %.3f levels in the mean, %.3f in the worst photograph, 99.9th percentile %.1f\n", c.name,
                c.distances.mean(), c.distances.worst(), c.distances.quantile(0.999));
    EXPECT_LT(c.distances.mean(), c.mean) << c.name;
    EXPECT_LT(c.distances.worst(), c.worst) << c.name;
    EXPECT_LE(c.distances.quantile(0.999), c.tail) << c.name;
  }
}

}  // namespace
}  // namespace unlabel::augment
