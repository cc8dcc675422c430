#include <unlabel/augment/color.h>
#include <unlabel/augment/contact_sheet.h>
#include <unlabel/augment/decode.h>
#include <unlabel/augment/error.h>
#include <unlabel/augment/filter.h>
#include <unlabel/augment/geometry.h>
#include <unlabel/augment/presets.h>
#include <unlabel/augment/random_shift.h>
#include <unlabel/augment/resize.h>
#include <unlabel/augment/view_kernel.h>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

namespace nb = nanobind;
using namespace nb::literals;
using namespace unlabel;
using namespace unlabel::augment;

namespace {

using Pixels = nb::ndarray<const std::uint8_t, nb::c_contig, nb::device::cpu>;
using Floats = nb::ndarray<float, nb::c_contig, nb::device::cpu>;
using Key = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>;  // seed, epoch, sample

/// The array's memory as an image, without a copy.
cv::Mat image_of(const Pixels& pixels) {
  const bool gray = pixels.ndim() == 2 || (pixels.ndim() == 3 && pixels.shape(2) == 1);
  if (!gray && !(pixels.ndim() == 3 && pixels.shape(2) == 3))
    throw UsageError("an image is an array of uint8, [height, width, 3] in RGB order or [height, width]");
  if (pixels.shape(0) < 1 || pixels.shape(1) < 1 || pixels.shape(0) > kMaxSide || pixels.shape(1) > kMaxSide)
    throw UsageError("an image has 1 to ", kMaxSide, " pixels a side");
  return cv::Mat(static_cast<int>(pixels.shape(0)), static_cast<int>(pixels.shape(1)), gray ? CV_8UC1 : CV_8UC3,
                 const_cast<std::uint8_t*>(pixels.data()));
}

/// An array that owns what was made.
nb::ndarray<nb::numpy, std::uint8_t> array_of(cv::Mat image) {
  auto* const kept = new cv::Mat(image.isContinuous() ? std::move(image) : image.clone());
  const nb::capsule owner(kept, [](void* mat) noexcept { delete static_cast<cv::Mat*>(mat); });
  const std::size_t shape[] = {static_cast<std::size_t>(kept->rows), static_cast<std::size_t>(kept->cols),
                               static_cast<std::size_t>(kept->channels())};
  return {kept->data, kept->channels() == 1 ? 2u : 3u, shape, owner};
}

Source source_of(nb::handle image) {
  Source source;
  if (nb::isinstance<nb::bytes>(image)) {
    const auto bytes = nb::cast<nb::bytes>(image);
    const auto* data = static_cast<const std::uint8_t*>(bytes.data());
    source.bytes.assign(data, data + bytes.size());
  } else if (nb::isinstance<nb::str>(image)) {
    const auto path = nb::cast<std::string>(image);
    const nb::gil_scoped_release release;
    std::ifstream file(path, std::ios::binary);
    if (!file) throw Error("cannot read ", path);
    source.bytes.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  } else {
    Pixels pixels;
    if (!nb::try_cast(image, pixels, false))
      throw UsageError("an image is bytes, a path, or a contiguous array of uint8, [height, width, 3] in RGB order");
    source.pixels = image_of(pixels);
  }
  return source;
}

/// Runs `act` without the interpreter's lock.
template <class Act>
auto unlocked(const Act& act) {
  const nb::gil_scoped_release release;
  return act();
}

void views_into(const MultiCrop& crops, nb::handle image, const Key& key, const std::vector<Floats>& out,
                const DecodeOptions& decode) {
  if (static_cast<int>(out.size()) != crops.views())
    throw UsageError("expected ", crops.views(), " arrays, one a view, not ", out.size());
  std::vector<float*> places;
  for (int v = 0; v < crops.views(); ++v) {
    if (out[v].size() != crops.shape(v).size())
      throw UsageError("view ", v, " has ", crops.shape(v).size(), " numbers, its array ", out[v].size());
    places.push_back(out[v].data());
  }
  const Source source = source_of(image);
  const auto [seed, epoch, sample] = key;
  unlocked([&] { crops(source, {seed, epoch, sample, 0}, places, decode); });
}

nlohmann::json json_of(const std::string& text, const char* what) {
  auto json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_discarded()) throw UsageError(what, " is not JSON");
  return json;
}

/// function(in, out) for a free function on one image.
template <class Function>
nb::ndarray<nb::numpy, std::uint8_t> apply(const Pixels& image, const Function& function) {
  const cv::Mat in = image_of(image);
  cv::Mat out;
  unlocked([&] { function(in, out); });
  return array_of(std::move(out));
}

Interpolation interpolation_of(const std::string& name) {
  if (name == "bilinear") return Interpolation::kBilinear;
  if (name == "bicubic") return Interpolation::kBicubic;
  throw UsageError("interpolation is bilinear or bicubic, not '", name, "'");
}

}  // namespace

NB_MODULE(_core, m) {
  m.doc() = "The compiled part of unlabel_augment.";
  static nb::exception<Error> image_error(m, "ImageError", PyExc_RuntimeError);
  nb::register_exception_translator([](const std::exception_ptr& thrown, void*) {
    try {
      std::rethrow_exception(thrown);
    } catch (const UsageError& error) {
      PyErr_SetString(PyExc_ValueError, error.what());
    }
  });

  nb::class_<DecodeOptions>(m, "DecodeOptions", "How encoded images become pixels.")
      .def(nb::init<>())
      .def_rw("exif_orientation", &DecodeOptions::exif_orientation,
              "turn a JPEG upright by its EXIF orientation (default: no, as PIL)")
      .def_rw("max_pixels", &DecodeOptions::max_pixels, "refuse images with more pixels than this, by their header")
      .def_rw("strict", &DecodeOptions::strict, "also refuse a JPEG that decodes with warnings only");

  nb::class_<MultiCrop>(m, "Views")
      .def_static(
          "preset",
          [](const std::string& name, const std::string& options) {
            PresetOptions values;
            table(values).from_json(json_of(options, "the options"), "preset " + name);
            return preset(name, values);
          },
          "name"_a, "options"_a = "{}")
      .def_static(
          "from_json", [](const std::string& text) { return MultiCrop::from_json(json_of(text, "the text")); },
          "text"_a)
      .def("to_json", [](const MultiCrop& crops) { return crops.to_json().dump(); })
      .def_prop_ro("count", &MultiCrop::views)
      .def_prop_ro("fused", &MultiCrop::fused, "whether views are made by vector instructions")
      .def(
          "shape",
          [](const MultiCrop& crops, int view) {
            if (view < 0 || view >= crops.views()) throw UsageError("there is no view ", view, " of ", crops.views());
            const auto shape = crops.shape(view);
            return std::tuple(shape.channels, shape.height, shape.width);
          },
          "view"_a, "Channels, height, width.")
      .def("into", &views_into, "image"_a, "key"_a, "out"_a.noconvert(), "decode"_a = DecodeOptions(),
           "Writes every view of an image (bytes of a file, a path, or an array) into `out`, float32 arrays in CHW "
           "order.\n"
           "`key` is (seed, epoch, sample). The interpreter's lock is released.")
      .def(
          "drawn",
          [](const MultiCrop& crops, const std::tuple<int, int>& size, const Key& key, int view) {
            if (view < 0 || view >= crops.views()) throw UsageError("there is no view ", view, " of ", crops.views());
            const auto [seed, epoch, sample] = key;
            const auto& pipeline = crops.pipeline(view);
            return pipeline
                .drawn_to_json(pipeline.draw({std::get<1>(size), std::get<0>(size)},
                                             {seed, epoch, sample, static_cast<std::uint32_t>(view)}))
                .dump();
          },
          "size"_a, "key"_a, "view"_a, "What is drawn for a view of an image of (height, width), as JSON.")
      .def(
          "replay",
          [](const MultiCrop& crops, nb::handle image, int view, const std::string& drawn, Floats out,
             const DecodeOptions& decode) {
            if (view < 0 || view >= crops.views()) throw UsageError("there is no view ", view, " of ", crops.views());
            if (out.size() != crops.shape(view).size())
              throw UsageError("view ", view, " has ", crops.shape(view).size(), " numbers, the array ", out.size());
            const auto parameters = crops.pipeline(view).drawn_from_json(json_of(drawn, "what was drawn"));
            const Source source = source_of(image);
            unlocked([&] { crops.replay(source, view, parameters, out.data(), decode); });
          },
          "image"_a, "view"_a, "drawn"_a, "out"_a.noconvert(), "decode"_a = DecodeOptions())
      .def(
          "sheet",
          [](const MultiCrop& crops, nb::handle image, const Key& key, const DecodeOptions& decode) {
            const Source source = source_of(image);
            const auto [seed, epoch, sample] = key;
            return array_of(unlocked([&, seed = seed, epoch = epoch, sample = sample] {
              return contact_sheet(source, crops, {seed, epoch, sample, 0}, decode);
            }));
          },
          "image"_a, "key"_a, "decode"_a = DecodeOptions(), "A contact sheet of the views, [height, width, 3].");

  m.def("preset_names", &preset_names, "The names that MultiCrop knows.");
  m.def("instruction_set", &instruction_set, "The vector instructions in use: AVX3 (AVX-512), AVX2, SSE4 ...");
  m.def(
      "decode",
      [](const nb::bytes& bytes, const DecodeOptions& options) {
        const Source source = source_of(bytes);
        return array_of(unlocked([&] { return decode(source, options); }));
      },
      "data"_a, "options"_a = DecodeOptions(), "An encoded image as uint8 RGB, [height, width, 3].");
  m.def(
      "resize",
      [](const Pixels& image, const std::tuple<int, int>& size, const std::string& interpolation) {
        return apply(image, [&](const cv::Mat& in, cv::Mat& out) {
          resize(in, {std::get<1>(size), std::get<0>(size)}, interpolation_of(interpolation), out);
        });
      },
      "image"_a.noconvert(), "size"_a, "interpolation"_a = "bilinear",
      "Antialiased, bit-equal to Pillow's. `size` is (height, width).");
  m.def(
      "adjust_brightness",
      [](const Pixels& image, double factor) {
        return apply(image, [&](const cv::Mat& in, cv::Mat& out) { adjust_brightness(in, factor, out); });
      },
      "image"_a.noconvert(), "factor"_a, "factor * image.");
  m.def(
      "adjust_contrast",
      [](const Pixels& image, double factor) {
        return apply(image, [&](const cv::Mat& in, cv::Mat& out) { adjust_contrast(in, factor, out); });
      },
      "image"_a.noconvert(), "factor"_a, "factor * image + (1 - factor) * the mean of its grey.");
  m.def(
      "adjust_saturation",
      [](const Pixels& image, double factor) {
        return apply(image, [&](const cv::Mat& in, cv::Mat& out) { adjust_saturation(in, factor, out); });
      },
      "image"_a.noconvert(), "factor"_a, "factor * image + (1 - factor) * grey.");
  m.def(
      "adjust_hue",
      [](const Pixels& image, double shift) {
        return apply(image, [&](const cv::Mat& in, cv::Mat& out) { adjust_hue(in, shift, out); });
      },
      "image"_a.noconvert(), "shift"_a, "Turns the hue by `shift` turns, -0.5 to 0.5.");
  m.def(
      "grayscale",
      [](const Pixels& image) { return apply(image, [](const cv::Mat& in, cv::Mat& out) { grayscale(in, out); }); },
      "image"_a.noconvert(), "Grey, still three channels.");
  m.def(
      "solarize",
      [](const Pixels& image, double threshold) {
        return apply(image, [&](const cv::Mat& in, cv::Mat& out) { solarize(in, threshold, out); });
      },
      "image"_a.noconvert(), "threshold"_a = 0.5, "Inverts what is brighter than the threshold, a fraction of white.");
  m.def(
      "horizontal_flip",
      [](const Pixels& image) {
        return apply(image, [](const cv::Mat& in, cv::Mat& out) { horizontal_flip(in, out); });
      },
      "image"_a.noconvert(), "Mirrors left and right.");
  m.def(
      "gaussian_blur",
      [](const Pixels& image, double sigma, int kernel_size) {
        return apply(image, [&](const cv::Mat& in, cv::Mat& out) {
          gaussian_blur(in, sigma, kernel_size, Border::kReflect, out);
        });
      },
      "image"_a.noconvert(), "sigma"_a, "kernel_size"_a = 0, "Gaussian blur; kernel_size 0: as many taps as matter.");

  const auto shift = [](const auto& images, int pad, const Key& key, auto* out) {
    if (images.ndim() != 4) throw UsageError("random_shift takes arrays [images, channels, height, width]");
    for (std::size_t i = 1; i < 4; ++i)
      if (images.shape(i) > 1 << 30) throw UsageError("random_shift: an axis of ", images.shape(i));
    const ImageBatch batch{static_cast<std::int64_t>(images.shape(0)), static_cast<int>(images.shape(1)),
                           static_cast<int>(images.shape(2)), static_cast<int>(images.shape(3))};
    const auto [seed, epoch, sample] = key;
    unlocked([&, seed = seed, epoch = epoch, sample = sample] {
      random_shift(images.data(), batch, pad, {seed, epoch, sample, 0}, out);
    });
  };
  m.def(
      "random_shift_into",
      [shift](const Pixels& images, int pad, const Key& key,
              nb::ndarray<std::uint8_t, nb::c_contig, nb::device::cpu> out) {
        if (out.size() != images.size()) throw UsageError("random_shift: `out` has another size");
        shift(images, pad, key, out.data());
      },
      "images"_a.noconvert(), "pad"_a, "key"_a, "out"_a.noconvert());
}
