// Times ways of making views on photographs; compare.py starts it and asks.
//
// usage: views FOLDER hashes      prints "PRESET SET HASH" of all views of all photographs, for each preset and set of instructions
//        views FOLDER < lines of "WAY IMAGES SEED"; "ready WAY..." first, then the CPU milliseconds per image of each line's run.
// Ways: swav, swav-SET for each set of instructions, swav-exact; jpeg (libjpeg's decode to RGB), planes; opencv-area (what one writes with
// OpenCV); shift, shift-float (random_shift of 128 x 9 x 84 x 84 bytes to bytes and to floats; an image is such a batch).
#include <unlabel/augment/codec/decoders.h>
#include <unlabel/augment/fused/view_kernel.h>
#include <unlabel/augment/ops/random_shift.h>
#include <unlabel/augment/transforms/presets.h>

#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

namespace {

using namespace unlabel::augment;

constexpr std::int64_t kMostPixels = 100'000'000;

double cpu_seconds() {
  std::timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// The same steps as one writes them with OpenCV's functions; a crop is resized with INTER_AREA.
void opencv_view(const cv::Mat& bgr, const Pipeline& pipeline, std::span<const TransformParams> params, float* out) {
  const auto& box = std::get<CropParams>(params[0]);
  const cv::Size size(pipeline.output_shape().width, pipeline.output_shape().height);
  cv::Mat view, gray, wide;
  cv::resize(bgr(cv::Rect(box.x, box.y, box.width, box.height)), view, size, 0, 0, cv::INTER_AREA);
  if (std::get<ApplyParams>(params[1]).apply) cv::flip(view, view, 1);
  if (const auto& jitter = std::get<JitterParams>(params[2]); jitter.apply)
    for (const int operation : jitter.order) {
      if (operation == 0) view.convertTo(view, -1, jitter.brightness);
      if (operation == 1) {
        cv::cvtColor(view, gray, cv::COLOR_BGR2GRAY);
        view.convertTo(view, -1, jitter.contrast, (1 - jitter.contrast) * std::floor(cv::mean(gray)[0] + 0.5));
      }
      if (operation == 2) {
        cv::cvtColor(view, gray, cv::COLOR_BGR2GRAY);
        cv::cvtColor(gray, wide, cv::COLOR_GRAY2BGR);
        cv::addWeighted(view, jitter.saturation, wide, 1 - jitter.saturation, 0, view);
      }
      if (operation == 3) {
        cv::Mat hsv, table(1, 256, CV_8U), channels[3];
        cv::cvtColor(view, hsv, cv::COLOR_BGR2HSV_FULL);
        for (int i = 0; i < 256; ++i)
          table.at<uchar>(i) = static_cast<uchar>(i + static_cast<int>(std::lround(255 * jitter.hue)));
        cv::split(hsv, channels);
        cv::LUT(channels[0], table, channels[0]);
        cv::merge(channels, 3, hsv);
        cv::cvtColor(hsv, view, cv::COLOR_HSV2BGR_FULL);
      }
    }
  if (std::get<ApplyParams>(params[3]).apply) {
    cv::cvtColor(view, gray, cv::COLOR_BGR2GRAY);
    cv::cvtColor(gray, view, cv::COLOR_GRAY2BGR);
  }
  if (const auto& blur = std::get<BlurParams>(params[4]); blur.apply) {
    const int taps = 2 * static_cast<int>(std::ceil(3.5 * blur.sigma)) + 1;
    cv::GaussianBlur(view, view, {taps, taps}, blur.sigma);
  }
  const auto* normalize = find_normalize(pipeline);
  cv::Mat floats, planes[3];
  view.convertTo(floats, CV_32F, 1 / 255.0);
  cv::subtract(floats, cv::Scalar(normalize->mean[2], normalize->mean[1], normalize->mean[0]), floats);
  cv::divide(floats, cv::Scalar(normalize->std[2], normalize->std[1], normalize->std[0]), floats);
  for (int c = 0; c < 3; ++c) planes[2 - c] = cv::Mat(size, CV_32F, out + static_cast<std::ptrdiff_t>(c) * size.area());
  cv::split(floats, planes);
}

/// Of all views of each photograph, to the last bit: FNV-1a (64 bits) over their floats.
std::uint64_t hash_of(const MultiCrop& crops, const std::vector<ImageSource>& photos) {
  std::vector<cv::Mat> views;
  std::vector<float*> places;
  for (int v = 0; v < crops.views(); ++v)
    places.push_back(views.emplace_back(1, static_cast<int>(crops.shape(v).size()), CV_32F).ptr<float>());
  std::uint64_t hash = 0xcbf29ce484222325;
  for (std::uint64_t sample = 0; sample < photos.size(); ++sample) {
    crops(photos[sample], {.seed = 1, .epoch = 0, .sample = sample, .view = 0}, places);
    for (const auto& view : views)
      for (const float value : cv::Mat_<float>(view))
        hash = (hash ^ std::bit_cast<std::uint32_t>(value)) * 0x100000001b3;
  }
  return hash;
}

}  // namespace

int main(int count, char** words) {
  const bool hashes = count == 3 && words[2] == std::string("hashes");
  if (count != 2 && !hashes) {
    std::cerr << "usage: views FOLDER [hashes]\n";
    return 2;
  }
  cv::setNumThreads(1);
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(words[1]))
    if (entry.path().extension() == ".JPEG") names.push_back(entry.path());
  std::sort(names.begin(), names.end());
  std::vector<ImageSource> photos;
  for (const auto& name : names) {
    std::ifstream file(name, std::ios::binary);
    auto& photo = photos.emplace_back();
    photo.bytes.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  if (photos.empty()) {
    std::cerr << words[1] << " holds no *.JPEG\n";
    return 2;
  }

  if (hashes) {
    for (const auto& name : preset_names()) {
      for (const auto& set : instruction_sets()) {
        use_instruction_set(set);
        std::cout << name << " " << set << " " << std::hex << hash_of(preset(name), photos) << std::endl;
      }
      std::cout << name << " exact " << hash_of(preset(name, {.exact = true}), photos) << std::endl;
    }
    return 0;
  }

  const MultiCrop fast = preset("swav"), exact = preset("swav", {.exact = true});
  std::vector<cv::Mat> views;  // at multiples of 64 bytes, as tensors are
  std::vector<float*> places;
  for (int v = 0; v < fast.views(); ++v)
    places.push_back(views.emplace_back(1, static_cast<int>(fast.shape(v).size()), CV_32F).ptr<float>());

  using Way = std::function<void(const ImageSource&, const ViewKey&)>;
  std::map<std::string, Way> ways;
  std::map<std::string, std::string> sets;
  ways["swav"] = [&](const ImageSource& photo, const ViewKey& key) { fast(photo, key, places); };
  for (const auto& set : instruction_sets()) {
    ways["swav-" + set] = ways["swav"];
    sets["swav-" + set] = set;
  }
  ways["swav-exact"] = [&](const ImageSource& photo, const ViewKey& key) { exact(photo, key, places); };
  ways["jpeg"] = [](const ImageSource& photo, const ViewKey&) {
    decode_jpeg(photo.bytes, {.max_pixels = kMostPixels});
  };
  PlanarImage planes;
  ways["planes"] = [&](const ImageSource& photo, const ViewKey&) { decode_planes(photo, {}, planes); };
  ways["opencv-area"] = [&](const ImageSource& photo, const ViewKey& key) {
    const cv::Mat bgr = cv::imdecode(photo.bytes, cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION);
    for (int v = 0; v < fast.views(); ++v) {
      auto of_view = key;
      of_view.view = static_cast<std::uint32_t>(v);
      opencv_view(bgr, fast.pipeline(v), fast.pipeline(v).make_params(bgr.size(), of_view), places[v]);
    }
  };

  const ImageBatch frames{128, 9, 84, 84};
  const std::vector<std::uint8_t> stacked(128 * 9 * 84 * 84, 7);
  std::vector<std::uint8_t> shifted(stacked.size());
  std::vector<float> shifted_floats(stacked.size());
  ways["shift"] = [&](const ImageSource&, const ViewKey& key) {
    random_shift(stacked.data(), frames, 4, {key.seed, key.epoch, 128 * key.sample, 0}, shifted.data());
  };
  ways["shift-float"] = [&](const ImageSource&, const ViewKey& key) {
    random_shift(stacked.data(), frames, 4, {key.seed, key.epoch, 128 * key.sample, 0}, shifted_floats.data());
  };

  std::cout << "ready";
  for (const auto& [name, way] : ways) std::cout << " " << name;
  std::cout << std::endl;
  std::string name;
  std::uint64_t images = 0, seed = 0;
  while (std::cin >> name >> images >> seed) {
    use_instruction_set(sets.contains(name) ? sets[name] : "");
    const auto& way = ways.at(name);
    const double begin = cpu_seconds();
    for (std::uint64_t i = 0; i < images; ++i) way(photos[(seed * images + i) % photos.size()], {seed, 0, i, 0});
    std::cout << 1000 * (cpu_seconds() - begin) / static_cast<double>(images) << std::endl;
  }
}
