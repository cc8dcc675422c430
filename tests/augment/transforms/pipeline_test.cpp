#include <unlabel/augment/error.h>
#include <unlabel/augment/transforms/multi_crop.h>
#include <unlabel/augment/transforms/presets.h>

#include "augment/distances.h"
#include "refusal.h"
#include <gtest/gtest.h>
#include <malloc.h>
#include <opencv2/core.hpp>

#include <cmath>
#include <fstream>
#include <functional>
#include <iterator>
#include <regex>
#include <set>
#include <thread>

namespace unlabel::augment {
namespace {

using nlohmann::json;

cv::Mat noise(int height, int width, std::uint64_t seed) {
  cv::Mat image(height, width, CV_8UC3);
  cv::RNG rng(seed);
  rng.fill(image, cv::RNG::UNIFORM, 0, 256);
  return image;
}

std::string refusal_of(const std::string& pipeline) {
  return refusal([&] { Pipeline::from_json(json::parse(pipeline)); });
}

std::vector<std::vector<float>> views_of(const MultiCrop& crops, const cv::Mat& image, const ViewKey& key) {
  std::vector<std::vector<float>> views;
  std::vector<float*> pointers;
  for (int v = 0; v < crops.views(); ++v) pointers.push_back(views.emplace_back(crops.shape(v).size(), NAN).data());
  crops({{}, image}, key, pointers);
  return views;
}

TEST(Pipeline, DescribesItselfInJson) {
  for (const auto& name : preset_names()) {
    const MultiCrop crops = preset(name);
    const json described = crops.to_json();
    const MultiCrop again = MultiCrop::from_json(json::parse(described.dump()));
    EXPECT_EQ(again.to_json(), described) << name;
    const cv::Mat image = noise(50, 70, 1);
    EXPECT_EQ(views_of(again, image, {1, 2, 3, 0}), views_of(crops, image, {1, 2, 3, 0})) << name;
  }
  const auto pipeline = Pipeline::from_json(json::parse(
      R"([{"op": "Resize", "size": [8, 10], "interpolation": "bicubic"}, {"op": "Grayscale"}, {"op": "RandomShift", "pad": 2}])"));
  EXPECT_EQ(pipeline.output_shape(), (OutputShape{1, 8, 10}));
  EXPECT_EQ(
      pipeline.to_json(),
      json::parse(
          R"([{"op": "Resize", "size": [8, 10], "interpolation": "bicubic"}, {"op": "Grayscale"}, {"op": "RandomShift", "pad": 2}])"));
}

TEST(Pipeline, SaysWhatIsWrong) {
  const auto names = joined(transform_names(), ", ");
  EXPECT_EQ(
      refusal_of(R"([{"op": "RandomResizeCrop"}])"),
      "pipeline step 1: there is no transform 'RandomResizeCrop' (did you mean 'RandomResizedCrop'?); there are " +
          names);
  EXPECT_EQ(
      refusal_of(R"([{"op": "HorizontalFlip"}])"),
      "pipeline step 1: there is no transform 'HorizontalFlip' (did you mean 'RandomHorizontalFlip'?); there are " +
          names);
  EXPECT_EQ(refusal_of(R"([{"op": "CenterCrop", "sise": 3}])"),
            "pipeline step 1 (CenterCrop): unknown option 'sise' (did you mean 'size'?)");
  EXPECT_EQ(refusal_of(R"([{"op": "CenterCrop", "size": "big"}])"),
            "pipeline step 1 (CenterCrop): 'size' takes an integer or [height, width], not \"big\"");
  EXPECT_EQ(refusal_of(R"([{"op": "RandomResizedCrop", "scale": [0.5, 0.1]}])"),
            "pipeline step 1 (RandomResizedCrop): scale must rise within (0, 1], not [0.5, 0.1]");
  EXPECT_EQ(refusal_of(R"([{"op": "CenterCrop"}, {"op": "Normalize"}, {"op": "ColorJitter"}])"),
            "pipeline step 3 (ColorJitter): works on colors in [0, 1]: move it before Normalize");
  EXPECT_EQ(refusal_of(R"([{"op": "CenterCrop"}, {"op": "Grayscale"}, {"op": "Normalize"}])"),
            "pipeline step 3 (Normalize): has 3 means, but the image has 1 channels");
  EXPECT_EQ(refusal_of(R"([{"op": "Resize", "size": 64}])"),
            "a pipeline must give every image the same size: add a RandomResizedCrop, a CenterCrop or a Resize to "
            "[height, width]");
  EXPECT_EQ(refusal_of(R"([{"op": "CenterCrop", "size": [1, 8192]}, {"op": "Resize", "size": 8192}])")
                .rfind("pipeline step 2 (Resize): ", 0),
            0u);
  EXPECT_EQ(refusal_of("{}"), R"(a pipeline is a list of steps, like [{"op": "CenterCrop", "size": 224}])");
  for (const char* wrong : {R"([{"op": "CenterCrop", "size": 0}])", R"([{"op": "CenterCrop", "size": 1000000000}])",
                            R"([{"op": "CenterCrop", "size": [3]}])", R"([{"op": 3}])", R"([3])", R"([null])", R"([])",
                            R"([{"size": 3}])", R"([{"op": "CenterCrop"}, {"op": "GaussianBlur", "sigma": [0, 1]}])",
                            R"([{"op": "CenterCrop"}, {"op": "GaussianBlur", "kernel_size": 4}])",
                            R"([{"op": "CenterCrop"}, {"op": "ColorJitter", "hue": 0.6}])",
                            R"([{"op": "CenterCrop"}, {"op": "RandomSolarize", "p": 1.5}])",
                            R"([{"op": "CenterCrop"}, {"op": "RandomShift", "pad": -1}])",
                            R"([{"op": "CenterCrop"}, {"op": "Normalize", "std": [1, 0, 1]}])",
                            R"([{"op": "CenterCrop"}, {"op": "Sobel"}, {"op": "Sobel"}])",
                            R"([{"op": "CenterCrop"}, {"op": "ColorJitter", "family": "albumentations"}])"})
    EXPECT_NE(refusal_of(wrong), "(accepted)") << wrong;
}

TEST(Pipeline, RefusesHostileJson) {
  json deep = 1;
  for (int i = 0; i < 100000; ++i) {
    json outer = json::array();
    outer.push_back(std::move(deep));
    deep = std::move(outer);
  }
  json inside{{"views", json::array()}};
  inside["views"].push_back(json::object());
  inside["views"][0]["pipeline"] = json::array();
  inside["views"][0]["pipeline"].push_back({{"op", "CenterCrop"}});
  inside["views"][0]["pipeline"][0]["size"] = std::move(deep);
  EXPECT_THROW(MultiCrop::from_json(inside), UsageError);
  EXPECT_THROW(Pipeline::from_json(inside["views"][0]["pipeline"]), UsageError);

  json many = json::array();
  for (int i = 0; i < 100000; ++i) many.push_back({{"op", "CenterCrop"}});
  EXPECT_THROW(Pipeline::from_json(many), UsageError);
  EXPECT_THROW(MultiCrop::from_json({{"views", many}}), UsageError);
}

TEST(MultiCrop, SaysWhatIsWrong) {
  const auto of = [](const std::string& text) { return refusal([&] { MultiCrop::from_json(json::parse(text)); }); };
  EXPECT_EQ(of(R"({"veiws": []})"), "multi-crop: unknown key 'veiws' (did you mean 'views'?)");
  EXPECT_EQ(
      of(R"({"views": [{"pipeline": [{"op": "CenterCrop"}]}, {"count": 1, "pipeline": [{"op": "CentreCrop"}]}]})"),
      "views 2: pipeline step 1: there is no transform 'CentreCrop' (did you mean 'CenterCrop'?); there are " +
          joined(transform_names(), ", "));
  for (const char* wrong : {"[]", "{}", R"({"views": []})", R"({"views": [{}]})",
                            R"({"views": [{"count": 0, "pipeline": [{"op": "CenterCrop"}]}]})",
                            R"({"views": [{"count": 2000, "pipeline": [{"op": "CenterCrop"}]}]})",
                            R"({"views": [{"count": 1.5, "pipeline": [{"op": "CenterCrop"}]}]})"})
    EXPECT_NE(of(wrong), "(accepted)") << wrong;
  EXPECT_EQ(refusal([] { preset("swaw"); }), "there is no preset 'swaw' (did you mean 'swav'?)");
}

TEST(MultiCrop, IsAFunctionOfItsKeyAlone) {
  const MultiCrop crops = preset("swav", {.global_size = 32, .local_size = 16});
  const cv::Mat image = noise(64, 80, 2), other = noise(300, 200, 3);
  const auto expected = views_of(crops, image, {7, 1, 42, 0});
  EXPECT_EQ(expected.size(), 8u);
  for (const auto& view : expected)
    for (const float value : view) ASSERT_TRUE(std::isfinite(value));
  views_of(crops, other, {7, 1, 43, 0});  // what came before on this thread leaves no trace
  EXPECT_EQ(views_of(crops, image, {7, 1, 42, 0}), expected);
  std::vector<std::vector<float>> elsewhere;
  std::thread([&] { elsewhere = views_of(crops, image, {7, 1, 42, 5}); }).join();
  EXPECT_EQ(elsewhere, expected);
  for (const ViewKey key : {ViewKey{8, 1, 42, 0}, ViewKey{7, 2, 42, 0}, ViewKey{7, 1, 41, 0}})
    EXPECT_NE(views_of(crops, image, key), expected);
  for (std::size_t v = 1; v < expected.size(); ++v) EXPECT_NE(expected[v], expected[v - 1]);
}

TEST(MultiCrop, LeavesTheSourceAsItIs) {
  // Steps before any resize would work in place on the caller's pixels if the pipeline let them.
  const auto pipeline = Pipeline::from_json(json::parse(
      R"([{"op": "RandomHorizontalFlip", "p": 1}, {"op": "RandomSolarize", "p": 1}, {"op": "ColorJitter", "brightness": 0.5},
          {"op": "CenterCrop", "size": [40, 60]}, {"op": "GaussianBlur"}])"));
  const cv::Mat image = noise(40, 60, 4), copy = image.clone();
  std::vector<float> out(pipeline.output_shape().size());
  pipeline(image, {1, 0, 0, 0}, out.data());
  EXPECT_EQ(cv::norm(image, copy, cv::NORM_INF), 0);
}

TEST(Pipeline, ReplaysWhatItDrewThroughJson) {
  for (const auto& name : preset_names()) {
    const MultiCrop crops = preset(name, {.global_size = 40});
    const cv::Mat image = noise(90, 75, 5);
    for (std::uint64_t sample = 0; sample < 20; ++sample) {
      const auto& pipeline = crops.pipeline(static_cast<int>(sample) % crops.views());
      const ViewKey key{3, 1, sample, 0};
      std::vector<float> expected(pipeline.output_shape().size(), NAN), replayed(expected);
      pipeline(image, key, expected.data());
      const auto params = pipeline.make_params(image.size(), key);
      const auto again = pipeline.params_from_json(json::parse(pipeline.params_to_json(params).dump()));
      EXPECT_EQ(again, params) << name;
      pipeline.apply(image, again, replayed.data());
      EXPECT_EQ(replayed, expected) << name;
    }
  }
}

TEST(Pipeline, ReadsFormerNamesOfTransforms) {
  const auto old = json::parse(R"([{"op": "CenterCrop", "size": 8}, {"op": "PadShift", "pad": 2}])");
  const auto pipeline = Pipeline::from_json(old);
  EXPECT_EQ(pipeline.to_json(), json::parse(R"([{"op": "CenterCrop", "size": 8}, {"op": "RandomShift", "pad": 2}])"));
  const auto params =
      pipeline.params_from_json(json::parse(R"([{"op": "CenterCrop"}, {"op": "PadShift", "x": 1, "y": 4}])"));
  EXPECT_EQ(params, (std::vector<TransformParams>{NoParams{}, ShiftParams{1, 4}}));
  EXPECT_EQ(pipeline.params_to_json(params)[1]["op"], "RandomShift");
}

TEST(Transforms, AreWrittenAndReadAsJson) {
  ASSERT_EQ(transforms().size(), transform_names().size());
  for (const auto& transform : transforms()) {
    const auto written = to_json(transform);
    EXPECT_EQ(to_json(transform_from_json(written, "test")), written);
    EXPECT_EQ(to_json(transform_from_json({{"op", name(transform)}}, "test")), written) << "the defaults";
    EXPECT_NE(refusal([&] {
                transform_from_json({{"op", name(transform)}, {"no_such_option", 1}}, "test");
              }),
              "(accepted)");
  }
}

TEST(Transforms, AreAllInTheDocumentation) {
  std::ifstream file(std::string(UNLABEL_SOURCE_DIR) + "/docs/augment.md");
  std::set<std::string> documented;  // in the first column of a table
  for (std::string line; std::getline(file, line);) {
    const std::regex quoted("`(\\w+)`");
    if (!line.starts_with("| `")) continue;
    const auto column = line.substr(0, line.find('|', 1));
    for (std::sregex_iterator word(column.begin(), column.end(), quoted), end; word != end; ++word)
      documented.insert((*word)[1]);
  }
  for (const auto& name : transform_names()) EXPECT_TRUE(documented.contains(name)) << name;
}

TEST(Pipeline, ChecksWhatItReplays) {
  const auto pipeline = Pipeline::from_json(
      json::parse(R"([{"op": "RandomResizedCrop", "size": 8}, {"op": "ColorJitter", "hue": 0.1}])"));
  const cv::Mat image = noise(20, 20, 6);
  std::vector<float> out(pipeline.output_shape().size());
  const auto good = pipeline.make_params({20, 20}, {1, 0, 0, 0});
  EXPECT_NO_THROW(pipeline.apply(image, good, out.data()));
  const auto with = [&](std::size_t step, TransformParams params) {
    auto changed = good;
    changed[step] = std::move(params);
    return refusal([&] { pipeline.apply(image, changed, out.data()); });
  };
  EXPECT_EQ(with(0, CropParams{15, 0, 6, 6}), "a box of 6 x 6 at (15, 0) does not fit in an image of 20 x 20");
  EXPECT_NE(with(0, CropParams{-1, 0, 6, 6}), "(accepted)");
  EXPECT_NE(with(0, CropParams{2147483647, 0, 2147483647, 6}), "(accepted)");
  EXPECT_NE(with(0, CropParams{0, 0, 0, 6}), "(accepted)");
  EXPECT_NE(with(0, BlurParams{}), "(accepted)");
  EXPECT_NE(with(1, JitterParams{true, {0, 1, 2, 2}}), "(accepted)");
  EXPECT_NE(with(1, JitterParams{true, {0, 1, 2, 3}, 1, 1, 1, 7}), "(accepted)");
  EXPECT_NE(with(1, JitterParams{true, {0, 1, 2, 3}, -0.5}), "(accepted)") << "a factor";
  EXPECT_NE(refusal([&] { pipeline.apply(image, {}, out.data()); }), "(accepted)");
  EXPECT_NE(refusal([&] { pipeline.apply(cv::Mat(), good, out.data()); }), "(accepted)");
  EXPECT_NE(
      refusal([&] {
        pipeline.params_from_json(json::parse(R"([{"op": "RandomResizedCrop"}, {"op": "ColorJitter", "hues": 1}])"));
      }),
      "(accepted)");
  EXPECT_NE(
      refusal([&] { pipeline.params_from_json(json::parse(R"([{"op": "ColorJitter"}, {"op": "ColorJitter"}])")); }),
      "(accepted)");
}

/// A Resize of which a CenterCrop does not take a part at once.
Pipeline whole_resize() { return Pipeline({Resize{{256}}, RandomHorizontalFlip{}, CenterCrop{{224}}, Normalize{}}); }

TEST(Pipeline, RefusesImagesThatAreTooLong) {
  // One pixel wide and very long: its short side at 256 would be gigabytes. An Error, so that a loader replaces the
  // image.
  const cv::Mat strip(1 << 20, 1, CV_8UC3, cv::Scalar::all(3));
  std::vector<float> out(std::size_t{3} * 224 * 224);
  EXPECT_THROW(whole_resize()(strip, {}, out.data()), Error);
  for (const char* name : {"eval", "swav", "byol"}) EXPECT_NO_THROW(preset(name).pipeline(0)(strip, {}, out.data()));
}

TEST(Pipeline, ResizesNoMoreThanWhatIsCropped) {
  // The middle of the strip: what a crop of the whole resize has, which would be 196 million pixels.
  cv::Mat strip = noise(3000, 1, 9);
  const Pipeline pipeline({Resize{{256}}, CenterCrop{{224}}});
  std::vector<float> view(pipeline.output_shape().size(), NAN), middle(view);
  pipeline(strip, {}, view.data());
  // 256 times as large, output 383888 is the first, and its input 1499.06.
  pipeline(strip.rowRange(1490, 1510), {}, middle.data());
  EXPECT_EQ(view, middle);
  EXPECT_EQ(std::set<float>(view.begin(), view.begin() + 224).size(), 1u) << "a row of one pixel";
  EXPECT_GT(std::set<float>(view.begin(), view.begin() + 224 * 224).size(), 1u);
}

TEST(Pipeline, KeepsNoHugeBuffers) {
  // One pixel high: its short side at 256 has 96 MB a buffer. Allocations of that size are mapped, and counted apart.
  const auto mapped = [] { return mallinfo2().hblkhd; };
  const cv::Mat strip(1, 500, CV_8UC3, cv::Scalar::all(3));
  std::vector<float> out(std::size_t{3} * 224 * 224);
  const auto before = mapped();
  whole_resize()(strip, {}, out.data());
  EXPECT_LT(mapped(), before + (std::size_t{32} << 20));
}

TEST(Presets, AreAsPublished) {
  const MultiCrop swav = preset("swav");
  ASSERT_EQ(swav.views(), 8);
  EXPECT_EQ(swav.shape(1), (OutputShape{3, 224, 224}));
  EXPECT_EQ(swav.shape(2), (OutputShape{3, 96, 96}));
  EXPECT_EQ(swav.groups()[1].pipeline.to_json(), json::parse(R"([
    {"op": "RandomResizedCrop", "size": 96, "scale": [0.05, 0.14], "ratio": [0.75, 1.3333333333333333], "interpolation": "bilinear",
     "family": "torchvision"},
    {"op": "RandomHorizontalFlip", "p": 0.5},
    {"op": "ColorJitter", "p": 0.8, "brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2, "family": "torchvision"},
    {"op": "RandomGrayscale", "p": 0.2},
    {"op": "GaussianBlur", "p": 0.5, "sigma": [0.1, 2.0], "kernel_size": 0, "border": "reflect"},
    {"op": "Normalize", "mean": [0.485, 0.456, 0.406], "std": [0.228, 0.224, 0.225]}])"));
  const MultiCrop byol = preset("byol");
  ASSERT_EQ(byol.views(), 2);
  EXPECT_EQ(byol.pipeline(1).to_json(), json::parse(R"([
    {"op": "RandomResizedCrop", "size": 224, "scale": [0.08, 1.0], "ratio": [0.75, 1.3333333333333333], "interpolation": "bicubic",
     "family": "byol"},
    {"op": "RandomHorizontalFlip", "p": 0.5},
    {"op": "ColorJitter", "p": 0.8, "brightness": 0.4, "contrast": 0.4, "saturation": 0.2, "hue": 0.1, "family": "byol"},
    {"op": "RandomGrayscale", "p": 0.2},
    {"op": "GaussianBlur", "p": 0.1, "sigma": [0.1, 2.0], "kernel_size": 23, "border": "zero"},
    {"op": "RandomSolarize", "p": 0.2, "threshold": 0.5},
    {"op": "Normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}])"));
  auto as_the_text = byol.pipeline(1).to_json();
  as_the_text[0]["family"] = "torchvision";
  EXPECT_EQ(preset("byol", {.crop_family = Family::kTorchvision}).pipeline(1).to_json(), as_the_text);
  EXPECT_EQ(preset("deepcluster").shape(0), (OutputShape{3, 224, 224}));
  EXPECT_EQ(preset("eval").groups()[0].pipeline.to_json()[0]["size"], 256);
  EXPECT_EQ(preset("eval", {.global_size = 32}).groups()[0].pipeline.to_json()[0]["size"], json({32, 32}));
}

TEST(Presets, AreWhatTheDocumentationWrites) {
  std::ifstream file(std::string(UNLABEL_SOURCE_DIR) + "/docs/augment.md");
  const std::string text{std::istreambuf_iterator<char>(file), {}}, fence = "```json\n";
  const auto begin = text.find(fence);
  ASSERT_NE(begin, std::string::npos);
  const auto written = text.substr(begin + fence.size(), text.find("```", begin + fence.size()) - begin - fence.size());
  EXPECT_EQ(MultiCrop::from_json(json::parse(written)).to_json(), preset("swav", {.local_count = 0}).to_json());
}

TEST(Presets, TakeOptions) {
  PresetOptions options;
  table(options).from_json(
      json::parse(
          R"({"global_size": 32, "global_count": 2, "global_scale": [0.3, 1], "local_size": 16, "local_count": 2,
      "local_scale": [0.1, 0.3], "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "jitter": 0.5,
      "blur": false, "interpolation": "bicubic"})"),
      "test");
  const MultiCrop crops = preset("swav", options);
  ASSERT_EQ(crops.views(), 4);
  const json first = crops.groups()[0].pipeline.to_json();
  EXPECT_EQ(first[0]["scale"], json({0.3, 1.0}));
  EXPECT_EQ(first[0]["interpolation"], "bicubic");
  EXPECT_EQ(first[2]["brightness"], 0.4);
  EXPECT_EQ(first[2]["hue"], 0.1);
  EXPECT_EQ(first[4]["op"], "Normalize");
  EXPECT_EQ(preset("swav", {.local_count = 0}).views(), 2);
  EXPECT_NE(refusal([] { preset("simclr", {.local_count = 2}); }), "(accepted)");
  const auto of = [](const char* text) {
    return refusal([&] {
      PresetOptions given;
      table(given).from_json(json::parse(text), "test");
    });
  };
  EXPECT_EQ(of(R"({"interpolation": "nearest"})"),
            "test: 'interpolation' takes 'bilinear' or 'bicubic', not \"nearest\"");
  EXPECT_EQ(of(R"({"global_scale": [1]})"), "test: 'global_scale' takes [low, high], not [1]");
  EXPECT_NE(refusal([] { preset("swav", {.jitter = -1}); }), "(accepted)");
  EXPECT_EQ(of(R"({"crop_family": "simclr"})"), "test: 'crop_family' takes 'torchvision' or 'byol', not \"simclr\"");
  EXPECT_EQ(refusal([] { preset("eval", {.crop_family = Family::kByol}); }),
            "preset eval has no random crops: leave out crop_family");
}

TEST(Presets, CropAsByolsReleasedCode) {
  // In floats, not in whole levels, and without antialiasing: what a small view takes of a large image is one pixel in many.
  const MultiCrop released = preset("byol_view2", {.global_size = 8, .jitter = 0, .blur = false});
  cv::Mat stripes(400, 400, CV_8UC3, cv::Scalar::all(0));
  for (int x = 0; x < 400; x += 2) stripes.col(x).setTo(cv::Scalar::all(200));
  EXPECT_FALSE(released.fused());
  double farthest = 0;
  bool between = false;
  for (std::uint64_t sample = 0; sample < 20; ++sample) {
    std::vector<float> view(released.shape(0).size());
    released.pipeline(0)(stripes, {1, 0, sample, 0}, view.data());
    to_levels(released.pipeline(0), view);
    for (const float level : view) {
      farthest = std::max<double>(farthest, std::abs(level - 100));
      between = between || std::abs(level - std::round(level)) > 0.1;
    }
  }
  EXPECT_GT(farthest, 90) << "antialiased, all is about 100";
  EXPECT_TRUE(between);
}

TEST(Presets, MakeTheEvaluationViewOfSmallAndLargeImages) {
  // Up to 64 pixels the image itself, so that CIFAR's 32 x 32 are taken as they are.
  const cv::Mat image = noise(32, 32, 8);
  const MultiCrop crops =
      preset("eval", {.global_size = 32, .mean = std::vector<double>(3, 0), .std = std::vector<double>(3, 1)});
  const auto view = views_of(crops, image, {})[0];
  for (int c = 0; c < 3; ++c)
    for (int i = 0; i < 1024; ++i) ASSERT_EQ(view[c * 1024 + i], static_cast<float>(image.data[3 * i + c]) / 255.0f);
}

}  // namespace
}  // namespace unlabel::augment
