#include <unlabel/augment/error.h>
#include <unlabel/augment/fused/view_kernel.h>
#include <unlabel/augment/preview/contact_sheet.h>
#include <unlabel/augment/python/bind.h>
#include <unlabel/augment/python/convert.h>
#include <unlabel/augment/transforms/presets.h>

#include <algorithm>

namespace unlabel::augment::python {

using namespace nb::literals;

namespace {

/// The arrays that views are written into.
struct Outputs {
  std::vector<Floats> arrays;
  std::vector<float*> places;
};

/// The array for a view, which must have exactly its shape.
Floats output_of(const MultiCrop& crops, int view, nb::handle given) {
  const auto shape = crops.shape(view);
  Floats array;
  const bool fits = nb::try_cast(given, array, /*convert=*/false) && array.ndim() == 3 &&
                    array.shape(0) == static_cast<std::size_t>(shape.channels) &&
                    array.shape(1) == static_cast<std::size_t>(shape.height) &&
                    array.shape(2) == static_cast<std::size_t>(shape.width);
  if (fits) return array;
  const auto text = concat("view ", view, " goes into an array of float32 (", shape.channels, ", ", shape.height, ", ",
                           shape.width, "), contiguous, which may be written to, not ", shown(nb::borrow(given)));
  if (array.is_valid()) throw UsageError(text);
  throw_type_error(text);
}

/// The arrays for all views. None of them may share memory with another, or with the image.
Outputs outputs_of(const MultiCrop& crops, nb::handle given, const Image& image) {
  const nb::object listed = nb::steal(PySequence_List(given.ptr()));
  if (!listed.is_valid()) {
    PyErr_Clear();
    throw_type_error("`out` is a list of arrays, one a view, not ", shown(nb::borrow(given)));
  }
  const nb::list items(listed);
  if (static_cast<int>(items.size()) != crops.views())
    throw UsageError("expected ", crops.views(), " arrays, one a view, not ", items.size());
  Outputs out;
  struct Piece {
    const std::uint8_t *begin, *end;
    int view;  // -1: the image
  };
  std::vector<Piece> pieces;
  for (int v = 0; v < crops.views(); ++v) {
    out.arrays.push_back(output_of(crops, v, items[v]));
    out.places.push_back(out.arrays.back().data());
    const auto* begin = reinterpret_cast<const std::uint8_t*>(out.places.back());
    pieces.push_back({begin, begin + out.arrays.back().nbytes(), v});
  }
  if (const cv::Mat& pixels = image.source.pixels; !pixels.empty())
    pieces.push_back({pixels.datastart, pixels.dataend, -1});
  // Each lies in one piece, so in the order of their addresses only neighbors can share a byte.
  std::ranges::sort(pieces, {}, &Piece::begin);
  for (std::size_t i = 1; i < pieces.size(); ++i) {
    const auto& [begin, end, view] = pieces[i - 1];
    if (pieces[i].begin >= end) continue;
    const auto name = [](int v) { return v < 0 ? std::string("the image") : concat("the array of view ", v); };
    const auto pair = std::minmax(view, pieces[i].view);
    throw UsageError(name(pair.first), " shares memory with ", name(pair.second), "; it must not");
  }
  return out;
}

std::int64_t views_into(const MultiCrop& crops, nb::handle image, const Key& key, nb::handle out,
                        const DecodeOptions& decode) {
  const Image from = image_from(image, decode);
  const Outputs to = outputs_of(crops, out, from);
  const auto report = unlocked([&, at = key_of(key)] { return crops(from.source, at, to.places, decode); });
  warn_of(report);
  return report.warnings;
}

}  // namespace

void bind_views(nb::module_& m) {
  nb::class_<MultiCrop>(m, "Views")
      .def_static(
          "preset",
          [](const std::string& name, const std::string& options) {
            PresetOptions values;
            table(values).from_json(json_of(options, "the options"), "preset " + name);
            return preset(name, values);
          },
          "name"_a, "options"_a = "{}",
          "The views of a preset (preset_names), with its options as a JSON object. ValueError for what it does not "
          "know.")
      .def_static(
          "from_json", [](const std::string& text) { return MultiCrop::from_json(json_of(text, "the text")); },
          "text"_a, "The views that `to_json` has written. ValueError that names the step at fault.")
      .def(
          "to_json", [](const MultiCrop& crops) { return crops.to_json().dump(); },
          "Everything about the views as JSON: {\"views\": [{\"count\": 2, \"pipeline\": [...]}, ...], \"exact\": "
          "false}.")
      .def_prop_ro("count", &MultiCrop::views, "How many views an image gives.")
      .def_prop_ro("fused", &MultiCrop::fused, "whether views are made by vector instructions")
      .def(
          "shape",
          [](const MultiCrop& crops, int view) {
            if (view < 0 || view >= crops.views()) throw UsageError("there is no view ", view, " of ", crops.views());
            const auto shape = crops.shape(view);
            return std::tuple(shape.channels, shape.height, shape.width);
          },
          "view"_a, "Channels, height, width.")
      .def("into", &views_into, "image"_a, "key"_a, "out"_a, nb::arg("decode").sig("DecodeOptions()") = DecodeOptions(),
           "Writes every view of an image (bytes of a file, a path, or an array) into `out`, float32 arrays in CHW "
           "order.\n"
           "`key` is (seed, epoch, sample). Returns the number of libjpeg's warnings. The interpreter's lock is "
           "released.")
      .def(
          "drawn",
          [](const MultiCrop& crops, const HeightWidth& size, const Key& key, int view) {
            if (view < 0 || view >= crops.views()) throw UsageError("there is no view ", view, " of ", crops.views());
            const auto& pipeline = crops.pipeline(view);
            return pipeline.params_to_json(pipeline.make_params(size_of(size), key_of(key, view))).dump();
          },
          "size"_a, "key"_a, "view"_a, "The random parameters of a view of an image of (height, width), as JSON.")
      .def(
          "replay",
          [](const MultiCrop& crops, nb::handle image, int view, const std::string& drawn, nb::handle out,
             const DecodeOptions& decode) {
            if (view < 0 || view >= crops.views()) throw UsageError("there is no view ", view, " of ", crops.views());
            const auto to = output_of(crops, view, out);
            const auto parameters = crops.pipeline(view).params_from_json(json_of(drawn, "the parameters"));
            const Image from = image_from(image, decode);
            warn_of(unlocked([&] { return crops.replay(from.source, view, parameters, to.data(), decode); }));
          },
          "image"_a, "view"_a, "drawn"_a, "out"_a, nb::arg("decode").sig("DecodeOptions()") = DecodeOptions(),
          "Writes one view with parameters that `drawn` gave into `out`: the same floats again.")
      .def(
          "sheet",
          [](const MultiCrop& crops, nb::handle image, const Key& key, const DecodeOptions& decode) {
            const Image from = image_from(image, decode);
            return array_of(unlocked([&, at = key_of(key)] { return contact_sheet(from.source, crops, at, decode); }));
          },
          "image"_a, "key"_a, nb::arg("decode").sig("DecodeOptions()") = DecodeOptions(),
          "A contact sheet of the views, [height, width, 3].");

  m.def("preset_names", &preset_names, "The names that MultiCrop knows.");
  m.def("transform_names", &transform_names, "The transforms that a pipeline can have, by the names of their \"op\".");
  m.def("instruction_set", &instruction_set, "The vector instructions in use: AVX3 (AVX-512), AVX2, SSE4 ...");
}

}  // namespace unlabel::augment::python
