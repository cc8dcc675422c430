#include <unlabel/augment/codec/decode.h>
#include <unlabel/augment/codec/encode.h>
#include <unlabel/augment/ops/affine.h>
#include <unlabel/augment/ops/color.h>
#include <unlabel/augment/ops/color_byol.h>
#include <unlabel/augment/ops/filter.h>
#include <unlabel/augment/ops/geometry.h>
#include <unlabel/augment/ops/mix.h>
#include <unlabel/augment/ops/normalize.h>
#include <unlabel/augment/ops/random_shift.h>
#include <unlabel/augment/preview/contact_sheet.h>
#include <unlabel/augment/transforms/policies.h>
#include <unlabel/augment/transforms/presets.h>

#include "augment/codec/jpeg.h"
#include <gtest/gtest.h>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

namespace unlabel::augment {
namespace {

/// The threads of this process.
int threads() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("Threads:", 0) == 0) return std::stoi(line.substr(8));
  return 0;
}

/// Ends the process with 1, and says whose fault it is, when there are more threads than at first.
class Watch {
 public:
  template <class Act>
  void operator()(const std::string& what, const Act& act) const {
    act();
    if (threads() == before_) return;
    std::fprintf(stderr, "%s starts threads: %d instead of %d\n", what.c_str(), threads(), before_);
    std::_Exit(1);
  }

 private:
  int before_ = threads();
};

/// Large enough for OpenCV to divide the work.
cv::Mat large(int type) {
  cv::Mat image(500, 640, type);
  cv::RNG(3).fill(image, cv::RNG::UNIFORM, 0, CV_MAT_DEPTH(type) == CV_8U ? 256 : 1);
  return image;
}

void run_operations(const Watch& watch) {
  for (const int type : {CV_8UC3, CV_32FC3}) {
    const cv::Mat image = large(type);
    const std::string of = type == CV_8UC3 ? " of bytes" : " of floats";
    const auto run = [&](const char* name, const auto& operation) {
      watch(name + of, [&] {
        cv::Mat out;
        operation(image, out);
      });
    };
    for (const auto how : {Interpolation::kBilinear, Interpolation::kBicubic})
      run("resize", [&](const cv::Mat& in, cv::Mat& out) { resize(in, {1300, 1200}, how, out); });
    run("center_crop", [](const cv::Mat& in, cv::Mat& out) { center_crop(in, {700, 480}, out); });
    run("horizontal_flip", [](const cv::Mat& in, cv::Mat& out) { horizontal_flip(in, out); });
    run("pad_shift", [](const cv::Mat& in, cv::Mat& out) { pad_shift(in, 4, 1, 7, out); });
    run("grayscale", [](const cv::Mat& in, cv::Mat& out) { grayscale(in, out); });
    run("to_gray", [](const cv::Mat& in, cv::Mat& out) { to_gray(in, out); });
    run("brightness", [](const cv::Mat& in, cv::Mat& out) { adjust_brightness(in, 1.3, out); });
    run("contrast", [](const cv::Mat& in, cv::Mat& out) { adjust_contrast(in, 1.3, out); });
    run("saturation", [](const cv::Mat& in, cv::Mat& out) { adjust_saturation(in, 1.3, out); });
    run("hue", [](const cv::Mat& in, cv::Mat& out) { adjust_hue(in, 0.1, out); });
    run("solarize", [](const cv::Mat& in, cv::Mat& out) { solarize(in, 0.5, out); });
    for (const auto border : {Border::kReflect, Border::kZero})
      run("gaussian_blur", [&](const cv::Mat& in, cv::Mat& out) { gaussian_blur(in, 2, 0, border, out); });
    for (const auto sampling : {Sampling::kNearest, Sampling::kBilinear})
      run("affine",
          [&](const cv::Mat& in, cv::Mat& out) { affine(in, rotation_matrix(10, in.size()), sampling, 0, out); });
    run("to_planes", [](const cv::Mat& in, cv::Mat& out) {
      out.create(3 * in.rows, in.cols, CV_32F);
      to_planes(in, std::vector<double>(3, 0.5), std::vector<double>(3, 0.5), out.ptr<float>());
    });
  }
  const cv::Mat bytes = large(CV_8UC3), floats = large(CV_32FC3);
  cv::Mat out;
  for (const auto& operation : auto_operations())
    watch(operation, [&] { apply_auto(bytes, operation, 4, Sampling::kBilinear, 0, out); });
  for (const auto adjust : {byol::adjust_brightness, byol::adjust_contrast, byol::adjust_saturation, byol::adjust_hue})
    watch("a color operation of BYOL's", [&] { adjust(floats, 0.3, out); });
  watch("to_float", [&] { to_float(bytes, out); });
  watch("normalize", [&] { normalize(floats, std::vector<double>(3, 0.5), std::vector<double>(3, 0.5), out); });
  watch("sobel", [&] { sobel(floats, out); });
  watch("encode_png", [&] { encode_png(bytes); });
  watch("mixup, cutmix", [&] {
    std::vector<float> batch(std::size_t{4} * 3 * 224 * 224);
    mixup(batch, 4, 0.4);
    cutmix(batch, 4, 3, {224, 224}, {10, 20, 100, 100});
  });
  watch("random_shift", [&] {
    std::vector<std::uint8_t> frames(std::size_t{64} * 9 * 84 * 84), shifted(frames.size());
    random_shift(frames.data(), {64, 9, 84, 84}, 4, {}, shifted.data());
  });
}

/// An image in every format and as arrays.
std::vector<std::pair<std::string, ImageSource>> sources() {
  const cv::Mat image = large(CV_8UC3), gray = large(CV_8UC1), alpha = large(CV_8UC4);
  std::vector<std::pair<std::string, ImageSource>> all{{"an array", {{}, image}}, {"a gray array", {{}, gray}}};
  const auto add = [&](const std::string& name, std::vector<std::uint8_t> bytes) {
    all.push_back({name, {std::move(bytes), {}}});
  };
  add("JPEG", encode_jpeg(image, JCS_RGB, JCS_YCbCr, false, {2, 2}));
  add("a gray JPEG", encode_jpeg(gray, JCS_GRAYSCALE, JCS_GRAYSCALE));
  add("a CMYK JPEG", encode_jpeg(alpha, JCS_CMYK, JCS_CMYK));
  for (const char* ending : {".png", ".webp", ".bmp", ".tiff", ".ppm"}) {
    std::vector<std::uint8_t> bytes;
    for (const cv::Mat& stored : {image, gray, alpha}) {
      // Of others there are none, or OpenCV converts them before it writes, by threads.
      if (stored.channels() != 3 && std::string(ending) == ".ppm") continue;
      if (stored.channels() == 1 && std::string(ending) == ".webp") continue;
      cv::imencode(ending, stored, bytes);
      add(concat(ending, " of ", stored.channels(), " channels"), bytes);
    }
  }
  return all;
}

/// Whatever an image goes through; ends with 0 when no thread was started, with 3 when the test itself cannot see any.
[[noreturn]] void run_everything() {
  cv::setNumThreads(4);  // as on a machine of four cores
  const Watch watch;
  const auto images = sources();
  watch("this test", [] {});
  run_operations(watch);
  for (const auto& [name, source] : images) {
    watch("decoding " + name, [&, &from = source] { decode(from); });
    for (const auto& of : preset_names())
      for (const bool exact : {false, true}) {
        if (exact && name != "an array") continue;  // the exact way begins where decoding ends
        const MultiCrop crops = preset(of, {.exact = exact});
        std::vector<std::vector<float>> views;
        std::vector<float*> places;
        for (int v = 0; v < crops.views(); ++v) places.push_back(views.emplace_back(crops.shape(v).size()).data());
        watch(concat("preset ", of, exact ? ", exact, of " : " of ", name), [&, &from = source] {
          crops(from, {1, 0, 0, 0}, places);
        });
      }
    watch("a contact sheet of " + name, [&, &from = source] { contact_sheet(from, preset("eval"), {}); });
  }
  const int before = threads();
  cv::Mat gray;
  cv::cvtColor(large(CV_8UC3), gray, cv::COLOR_RGB2GRAY);
  std::_Exit(threads() > before ? 0 : 3);
}

// OpenCV's pool has a thread for every core of the machine, in each process that makes views, and outlives the call that started it.
TEST(Threads, AreNotStartedBehindTheCaller) {
  testing::FLAGS_gtest_death_test_style =
      "threadsafe";  // in a new process: others may have started the pool in this one
  EXPECT_EXIT(run_everything(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace unlabel::augment
