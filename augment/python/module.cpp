#include <unlabel/augment/codec/decode.h>
#include <unlabel/augment/codec/image_files.h>
#include <unlabel/augment/error.h>
#include <unlabel/augment/fused/view_kernel.h>
#include <unlabel/augment/ops/affine.h>
#include <unlabel/augment/ops/color.h>
#include <unlabel/augment/ops/color_byol.h>
#include <unlabel/augment/ops/filter.h>
#include <unlabel/augment/ops/geometry.h>
#include <unlabel/augment/ops/mix.h>
#include <unlabel/augment/ops/planar.h>
#include <unlabel/augment/ops/random_shift.h>
#include <unlabel/augment/ops/resize.h>
#include <unlabel/augment/preview/contact_sheet.h>
#include <unlabel/augment/processors.h>
#include <unlabel/augment/system_error.h>
#include <unlabel/augment/transforms/auto_augment.h>
#include <unlabel/augment/transforms/presets.h>
#include <unlabel/augment/transforms/transforms.h>

#include <fcntl.h>
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>
#include <opencv2/core.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

namespace nb = nanobind;
using namespace nb::literals;
using namespace unlabel;
using namespace unlabel::augment;

namespace {

/// An argument as it was given, which `value_of` reads: what is wrong with it is then said in a line, and not by listing signatures.
template <class Value>
struct Given {
  nb::object object;
};

}  // namespace

namespace nanobind::detail {

template <class Inner>
struct type_caster<Given<Inner>> {
  NB_TYPE_CASTER(Given<Inner>, make_caster<Inner>::Name)
  bool from_python(handle source, std::uint8_t, cleanup_list*) noexcept {
    value.object = borrow(source);
    return true;
  }
};

}  // namespace nanobind::detail

namespace {

using Array = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;
using Bytes = nb::ndarray<const std::uint8_t, nb::c_contig, nb::device::cpu>;
using WritableBytes = nb::ndarray<std::uint8_t, nb::c_contig, nb::device::cpu>;
using Floats = nb::ndarray<float, nb::c_contig, nb::device::cpu>;
using Key = Given<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>>;  // seed, epoch, sample
using ImageArgument = Given<Array>;
using Pair = std::tuple<double, double>;
using Shear = std::variant<double, Pair>;                     // degrees along the rows, or along rows and columns
using HeightWidth = Given<std::tuple<int, int>>;              // height, width
using Size = Given<std::variant<int, std::tuple<int, int>>>;  // one side, or height and width

/// A word or two about what was given.
std::string shown(const nb::object& object) {
  if (nb::hasattr(object, "dtype") && nb::hasattr(object, "shape")) {
    const nb::object dtype = object.attr("dtype"), shape = object.attr("shape");
    const nb::str kind{dtype}, sides = nb::repr(nb::tuple(shape));
    return concat("an array of ", kind.c_str(), " ", sides.c_str());
  }
  const std::string text = nb::repr(object).c_str();
  return text.size() <= 80 ? text : text.substr(0, 77) + "...";
}

template <class Value>
Value value_of(const Given<Value>& given, const char* what) {
  Value value;
  if (nb::try_cast(given.object, value)) return value;
  throw UsageError(what, ", not ", shown(given.object));
}

ViewKey key_of(const Key& key, int view = 0) {
  const auto [seed, epoch, sample] = value_of(key, "a key is (seed, epoch, sample), whole numbers from 0 to 2^64 - 1");
  return {seed, epoch, sample, static_cast<std::uint32_t>(view)};
}

cv::Size checked(int height, int width) {
  if (height < 1 || width < 1 || height > kMaxSide || width > kMaxSide)
    throw UsageError("a size is (height, width), 1 to ", kMaxSide, " pixels each, not (", height, ", ", width, ")");
  return {width, height};
}

cv::Size size_of(const HeightWidth& size) {
  const auto [height, width] = value_of(size, "a size is (height, width)");
  return checked(height, width);
}

/// One number is the sides of a square, or with an image its short side.
cv::Size size_of(const Size& size, const cv::Mat* image = nullptr) {
  const auto value = value_of(size, "a size is one whole number, or (height, width)");
  if (const int* side = std::get_if<int>(&value)) {
    const auto square = checked(*side, *side);
    return image ? short_side_size(image->size(), *side) : square;
  }
  const auto [height, width] = std::get<1>(value);
  return checked(height, width);
}

template <class... Parts>
[[noreturn]] void throw_type_error(const Parts&... parts) {
  throw nb::type_error(concat(parts...).c_str());
}

/// OpenCV's depth of the array's numbers, or -1.
int depth_of(const Array& array) {
  static const std::pair<nb::dlpack::dtype, int> kDepths[] = {
      {nb::dtype<std::uint8_t>(), CV_8U},  {nb::dtype<std::int8_t>(), CV_8S},   {nb::dtype<std::uint16_t>(), CV_16U},
      {nb::dtype<std::int16_t>(), CV_16S}, {nb::dtype<std::int32_t>(), CV_32S}, {nb::dtype<float>(), CV_32F},
      {nb::dtype<double>(), CV_64F}};
  for (const auto& [dtype, depth] : kDepths)
    if (array.dtype() == dtype) return depth;
  return -1;
}

/// The array's memory as an image, without a copy. `given` is what it was made from, for messages.
cv::Mat image_of(const Array& array, const nb::object& given) {
  const int depth = depth_of(array);
  if (depth < 0) throw_type_error("an image has numbers of uint8, uint16 or float32; this is ", shown(given));
  const auto channels = array.ndim() == 2 ? 1 : array.ndim() == 3 ? array.shape(2) : 0;
  if (channels != 1 && channels != 3 && channels != 4)
    throw UsageError(
        "an image is an array [height, width, 3] in RGB order, [height, width, 4] with alpha, or [height, width]; this "
        "is ",
        shown(given));
  if (array.shape(0) < 1 || array.shape(1) < 1 || array.shape(0) > kMaxSide || array.shape(1) > kMaxSide)
    throw UsageError("an image has 1 to ", kMaxSide, " pixels a side; this is ", shown(given));
  return cv::Mat(static_cast<int>(array.shape(0)), static_cast<int>(array.shape(1)),
                 CV_MAKETYPE(depth, static_cast<int>(channels)), const_cast<void*>(array.data()));
}

struct Pixels {
  Array array;  ///< the memory that they lie in
  cv::Mat image;
  bool channel_axis;  ///< whether it is [height, width, channels]
};

/// The argument of a free function.
Pixels pixels_of(const ImageArgument& given) {
  Pixels pixels;
  if (!nb::try_cast(given.object, pixels.array))
    throw_type_error("an image is an array of uint8, or of float32 in [0, 1], or a PIL image, not ",
                     shown(given.object));
  pixels.image = image_of(pixels.array, given.object);
  pixels.channel_axis = pixels.array.ndim() == 3;
  if (pixels.image.depth() != CV_8U && pixels.image.depth() != CV_32F)
    throw_type_error("an image is an array of uint8, or of float32 in [0, 1]; this is ", shown(given.object));
  if (pixels.image.channels() == 4)
    throw UsageError("an image has 3 channels (RGB) or one; this is ", shown(given.object),
                     ": leave alpha out, image[..., :3]");
  return pixels;
}

/// The batch that is changed in place.
Floats batch_of(const Given<Floats>& given) {
  Floats images;
  if (!nb::try_cast(given.object, images, /*convert=*/false))
    throw_type_error(
        "images are an array of float32 [images, channels, height, width], contiguous, which may be written to, not ",
        shown(given.object));
  if (images.ndim() != 4) throw UsageError("images are [images, channels, height, width], not ", shown(given.object));
  return images;
}

/// A value for an option: None, a truth value, a number, text, or a list of such; NumPy's too.
nlohmann::json json_from(nb::handle value, int depth = 0) {
  constexpr int kMaxDepth = 4;
  if (value.is_none()) return nullptr;
  // What tolist() gives may have one too, as a mock's does.
  if (depth <= kMaxDepth && nb::hasattr(value, "tolist")) return json_from(value.attr("tolist")(), depth + 1);
  if (PyBool_Check(value.ptr())) return value.ptr() == Py_True;
  std::int64_t whole;
  if (PyLong_Check(value.ptr()) && nb::try_cast(value, whole)) return whole;
  if (PyFloat_Check(value.ptr())) return nb::cast<double>(value);
  if (PyUnicode_Check(value.ptr())) return nb::cast<std::string>(value);
  if (depth < kMaxDepth && (PyList_Check(value.ptr()) || PyTuple_Check(value.ptr()))) {
    auto list = nlohmann::json::array();
    for (const nb::handle item : value) list.push_back(json_from(item, depth + 1));
    return list;
  }
  return shown(nb::borrow(value));  // the option says what it takes
}

nb::object object_from(const nlohmann::json& json) {
  if (json.is_boolean()) return nb::bool_(json.get<bool>());
  if (json.is_number_integer()) return nb::int_(json.get<std::int64_t>());
  if (json.is_number()) return nb::float_(json.get<double>());
  if (!json.is_array()) return nb::none();
  nb::list items;
  for (const auto& item : json) items.append(object_from(item));
  return nb::tuple(items);
}

/// Names of files and folders are bytes, as the file system has them.
std::string name_from(nb::handle bytes) {
  const auto owner = nb::cast<nb::bytes>(bytes);
  return {owner.c_str(), owner.size()};
}

std::vector<std::string> names_from(nb::handle list) {
  std::vector<std::string> names;
  for (const nb::handle item : list) names.push_back(name_from(item));
  return names;
}

nb::bytes bytes_of(const std::string& name) { return nb::bytes(name.data(), name.size()); }

nb::list list_of(const std::vector<std::string>& names) {
  nb::list items;
  for (const auto& name : names) items.append(bytes_of(name));
  return items;
}

/// Tells by Python's warnings that 16-bit images lost most of their levels.
void warn_of(const DecodeReport& report) {
  const std::string text = range_warning(report);
  if (!text.empty() && PyErr_WarnEx(PyExc_UserWarning, text.c_str(), 2) != 0) throw nb::python_error();
}

/// An array that owns what was made. Of one channel it is [height, width], or with `channel_axis` [height, width, 1].
nb::ndarray<nb::numpy> array_of(cv::Mat image, bool channel_axis = false) {
  auto* const kept = new cv::Mat(image.isContinuous() ? std::move(image) : image.clone());
  const nb::capsule owner(kept, [](void* mat) noexcept { delete static_cast<cv::Mat*>(mat); });
  const std::size_t shape[] = {static_cast<std::size_t>(kept->rows), static_cast<std::size_t>(kept->cols),
                               static_cast<std::size_t>(kept->channels())};
  return {kept->data, kept->channels() == 1 && !channel_axis ? 2u : 3u,
          shape,      owner,
          nullptr,    kept->depth() == CV_32F ? nb::dtype<float>() : nb::dtype<std::uint8_t>()};
}

/// Fills `bytes` with a whole regular file. Returns errno, 0 when it went well.
int read_file(const char* path, std::vector<std::uint8_t>& bytes) {
  struct File {
    int descriptor;
    ~File() {
      if (descriptor >= 0) ::close(descriptor);
    }
  } file{-1};
  do {  // O_NONBLOCK: a pipe would wait for somebody who writes into it
    file.descriptor = ::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  } while (file.descriptor < 0 && errno == EINTR);
  struct stat status {};
  if (file.descriptor < 0 || ::fstat(file.descriptor, &status) != 0) return errno;
  if (S_ISDIR(status.st_mode)) return EISDIR;
  if (!S_ISREG(status.st_mode)) return ENOTSUP;
  if (status.st_size > kMaxFileSize) return EFBIG;
  bytes.resize(static_cast<std::size_t>(status.st_size) + 1);  // one more, to meet the end without growing
  for (std::size_t filled = 0;;) {
    if (filled > kMaxFileSize) return EFBIG;
    if (filled == bytes.size()) bytes.resize(2 * filled);
    const auto count = ::read(file.descriptor, bytes.data() + filled, bytes.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno;
    filled += static_cast<std::size_t>(count);
    if (count > 0) continue;
    bytes.resize(filled);
    return 0;
  }
}

/// An image from Python, and the array that its pixels lie in.
struct Image {
  Source source;
  Array array;
};

Image image_from(nb::handle image, const DecodeOptions& options) {
  Image made;
  auto& bytes = made.source.bytes;
  if (PyBytes_Check(image.ptr()) || PyByteArray_Check(image.ptr()) ||
      (PyMemoryView_Check(image.ptr()) && PyMemoryView_GET_BUFFER(image.ptr())->ndim == 1)) {
    PyObject* const whole = PyBytes_FromObject(image.ptr());
    if (!whole) throw nb::python_error();
    const auto owner = nb::steal<nb::bytes>(whole);
    const auto* data = static_cast<const std::uint8_t*>(owner.data());
    bytes.assign(data, data + owner.size());
  } else if (nb::isinstance<nb::str>(image) || nb::hasattr(image, "__fspath__")) {
    PyObject* encoded = nullptr;  // by the file system's rules: a name need not be UTF-8
    if (!PyUnicode_FSConverter(image.ptr(), &encoded)) throw nb::python_error();
    const auto path = nb::steal<nb::bytes>(encoded);
    int error;
    {
      const nb::gil_scoped_release release;
      error = read_file(path.c_str(), bytes);
    }
    if (error != 0) {  // not the image's fault: OSError, FileNotFoundError ...
      errno = error;
      PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, nb::steal(PyOS_FSPath(image.ptr())).ptr());
      throw nb::python_error();
    }
  } else {
    const nb::object given = nb::borrow(image);
    if (!nb::try_cast(image, made.array))
      throw_type_error("an image is bytes, a path, an open file, an array, a tensor or a PIL image, not ",
                       shown(given));
    made.source.pixels = image_of(made.array, given);
    const int depth = made.source.pixels.depth();
    if (depth != CV_8U && depth != CV_16U && !options.range)
      throw UsageError(
          "signed and floating-point pixels have no levels of their own: give DecodeOptions(range=(low, high)), (0, 1) "
          "for fractions of white; this is ",
          shown(given));
  }
  return made;
}

/// Runs `act` without the interpreter's lock.
template <class Act>
auto unlocked(const Act& act) {
  const nb::gil_scoped_release release;
  return act();
}

/// The arrays that views are written into.
struct Outputs {
  std::vector<Floats> arrays;
  std::vector<float*> places;
};

/// The array for a view: exactly of its shape, so that nothing lands in an order that its owner does not expect.
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

nlohmann::json json_of(const std::string& text, const char* what) {
  try {
    return parse_json(text, what);
  } catch (const JsonError& error) {
    throw UsageError(error.what());
  }
}

/// function(in, out) for a free function on one image.
template <class Function>
nb::ndarray<nb::numpy> apply(const Pixels& in, const Function& function) {
  cv::Mat out;
  unlocked([&] { function(in.image, out); });
  return array_of(std::move(out), in.channel_axis);
}

template <class Function>
nb::ndarray<nb::numpy> apply(const ImageArgument& image, const Function& function) {
  return apply(pixels_of(image), function);
}

/// Which numbers an operation takes.
enum class Levels { kAny, kFloats, kBytes };

/// The same for one that takes colors: of a grey image what it makes of equal colors, as torchvision has it of mode L.
template <class Function>
nb::ndarray<nb::numpy> apply_to_rgb(const ImageArgument& image, const char* name, const Function& function,
                                    Levels levels = Levels::kAny) {
  const auto pixels = pixels_of(image);
  const cv::Mat& in = pixels.image;
  if (levels == Levels::kFloats && in.depth() != CV_32F)
    throw UsageError(name, " takes float32, not uint8: divide by 255");
  if (levels == Levels::kBytes && in.depth() != CV_8U) throw UsageError(name, " takes uint8, not float32");
  if (in.channels() == 3) return apply(pixels, function);
  return apply(pixels, [&](const cv::Mat& gray, cv::Mat& out) {
    cv::Mat rgb;
    cv::merge(std::vector<cv::Mat>(3, gray), rgb);
    function(rgb, out);
    if (out.channels() == 3) cv::extractChannel(out, out, 0);
  });
}

Interpolation interpolation_of(const std::string& name) {
  if (name == "bilinear") return Interpolation::kBilinear;
  if (name == "bicubic") return Interpolation::kBicubic;
  throw UsageError("interpolation is bilinear or bicubic, not '", name, "'");
}

Sampling sampling_of(const std::string& name) {
  if (name == "nearest") return Sampling::kNearest;
  if (name == "bilinear") return Sampling::kBilinear;
  throw UsageError("interpolation is nearest or bilinear, not '", name, "'");
}

Border border_of(const std::string& name) {
  if (name == "reflect") return Border::kReflect;
  if (name == "zero") return Border::kZero;
  throw UsageError("border is reflect or zero, not '", name, "'");
}

/// Adds a color operation with one amount.
void def_adjust(nb::module_& m, const char* name, void (*function)(const cv::Mat&, double, cv::Mat&),
                const char* amount, const char* help, Levels levels = Levels::kAny) {
  m.def(
      name,
      [name, function, levels](const ImageArgument& image, double value) {
        return apply_to_rgb(
            image, name, [&](const cv::Mat& in, cv::Mat& out) { function(in, value, out); }, levels);
      },
      "image"_a, nb::arg(amount), help);
}

}  // namespace

NB_MODULE(_core, m) {
  m.doc() = "The compiled part of unlabel_augment.";
  nb::set_leak_warnings(false);  // what a DataLoader's worker still holds when it ends is not worth a page of words
  static nb::exception<Error> image_error(m, "ImageError", PyExc_RuntimeError);
  nb::register_exception_translator([](const std::exception_ptr& thrown, void*) {
    try {
      std::rethrow_exception(thrown);
    } catch (const LimitError& error) {
      PyErr_SetString(PyExc_MemoryError, error.what());
    } catch (const UsageError& error) {
      PyErr_SetString(PyExc_ValueError, error.what());
    }
  });

  // Its options are those of the library's table.
  const auto set_option = [](DecodeOptions& options, const std::string& name, nb::handle value) {
    auto fields = table(options);
    const auto* field = fields.find(name);
    if (!field) {
      std::vector<std::string> names;
      for (const auto& known : fields.fields()) names.push_back(known.name);
      throw nb::type_error(
          concat("DecodeOptions has no '", name, "'", did_you_mean(name, names), ", but ", joined(names, ", "))
              .c_str());
    }
    field->set(json_from(value));
  };
  auto decode_options = nb::class_<DecodeOptions>(m, "DecodeOptions", "How encoded images become pixels.");
  decode_options
      .def(
          "__init__",
          [set_option](DecodeOptions* made, const nb::args& positional, const nb::kwargs& options) {
            if (positional.size() > 0) throw nb::type_error("DecodeOptions takes its options by name: strict=True");
            DecodeOptions values;
            for (const auto& [name, value] : options) set_option(values, nb::cast<std::string>(name), value);
            new (made) DecodeOptions(values);
          },
          nb::sig("def __init__(self, *, exif_orientation: bool = False, max_pixels: int = 178956970, strict: bool = "
                  "False, range: tuple[float, float] | None = None) -> None"))
      .def("__repr__",
           [](DecodeOptions options) {
             std::vector<std::string> values;
             const auto fields = table(options);
             for (const auto& field : fields.fields())
               values.push_back(concat(field.name, "=", nb::repr(object_from(field.get())).c_str()));
             return concat("DecodeOptions(", joined(values, ", "), ")");
           })
      .def("__getstate__", [](DecodeOptions options) { return table(options).to_json().dump(); })
      .def("__setstate__", [](DecodeOptions& options, const std::string& state) {
        table(*new (&options) DecodeOptions).from_json(json_of(state, "the state"), "DecodeOptions");
      });
  DecodeOptions defaults;
  const auto fields_of_defaults = table(defaults);
  for (const auto& field : fields_of_defaults.fields())
    decode_options.def_prop_rw(
        field.name.c_str(),
        [name = field.name](DecodeOptions options) { return object_from(table(options).find(name)->get()); },
        [name = field.name, set_option](DecodeOptions& options, nb::handle value) { set_option(options, name, value); },
        nb::for_setter(nb::arg("value").none()), field.help.c_str());

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
            return pipeline.drawn_to_json(pipeline.draw(size_of(size), key_of(key, view))).dump();
          },
          "size"_a, "key"_a, "view"_a, "What is drawn for a view of an image of (height, width), as JSON.")
      .def(
          "replay",
          [](const MultiCrop& crops, nb::handle image, int view, const std::string& drawn, nb::handle out,
             const DecodeOptions& decode) {
            if (view < 0 || view >= crops.views()) throw UsageError("there is no view ", view, " of ", crops.views());
            const auto to = output_of(crops, view, out);
            const auto parameters = crops.pipeline(view).drawn_from_json(json_of(drawn, "what was drawn"));
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
  m.def("instruction_set", &instruction_set, "The vector instructions in use: AVX3 (AVX-512), AVX2, SSE4 ...");
  m.def(
      "decode",
      [](nb::handle data, const DecodeOptions& options) {
        const Image from = image_from(data, options);
        DecodeReport report;
        auto image = array_of(unlocked([&] { return decode(from.source, options, &report); }));
        warn_of(report);
        return image;
      },
      "data"_a, nb::arg("options").sig("DecodeOptions()") = DecodeOptions(),
      "An image (bytes of a file, its path, or an array) as uint8 RGB, [height, width, 3].");

  // What belongs to a data set by its name, for Folder. Names are bytes: they need not be UTF-8.
  m.def(
      "image_extensions",
      [] {
        std::vector<std::string> extensions;
        for (const auto extension : image_extensions()) extensions.push_back(concat(".", extension));
        return extensions;
      },
      "The extensions of images that are decoded, in lower case, with the dot.");
  m.def(
      "is_image_name",
      [](const nb::bytes& name) {
        return is_image_name({name.c_str(), name.size()});
      },
      "name"_a, "Whether the name of a file ends with one of them, in any case.");
  m.def(
      "is_foreign_image_name",
      [](const nb::bytes& name) {
        return is_foreign_image_name({name.c_str(), name.size()});
      },
      "name"_a, "Whether it ends like that of an image in a format that is not decoded.");
  m.def(
      "is_archive_name",
      [](const nb::bytes& name) {
        return packed_as({name.c_str(), name.size()}) != Packed::kNo;
      },
      "name"_a, "Whether it ends like that of an archive: .tar, .zip ...");
  m.def(
      "is_system_folder",
      [](const nb::bytes& name) {
        return is_system_folder({name.c_str(), name.size()});
      },
      "name"_a, "Whether systems make a folder of that name, for thumbnails, deleted files and the like.");
  m.def(
      "folder_layout",
      [](const nb::bytes& directory, const nb::list& folders, bool images_beside, const nb::callable& holds_images,
         const nb::callable& folders_in) {
        const auto layout =
            folder_layout(name_from(directory), names_from(folders), images_beside,
                          {[&](const std::string& name) { return nb::cast<bool>(holds_images(bytes_of(name))); },
                           [&](const std::string& name) { return names_from(folders_in(bytes_of(name))); }});
        return nb::make_tuple(bytes_of(layout.train), list_of(layout.left_out), list_of(layout.tests),
                              list_of(layout.notes), bytes_of(layout.refusal));
      },
      "directory"_a, "folders"_a, "images_beside"_a, "holds_images"_a, "folders_in"_a,
      "Where the splits of a folder are: (train, left_out, tests, notes, refusal), as the program has it.");
  m.def(
      "nested_split",
      [](const nb::list& folders) {
        const auto split = nested_split(names_from(folders));
        return nb::make_tuple(list_of(split.taken), split.left_out, list_of(split.tests));
      },
      "folders"_a, "What is taken of a folder further down: (taken, left_out, tests), as the program has it.");
  m.def(
      "usable_threads", [] { return usable_processors().threads; },
      "Hardware threads that may be used: the affinity mask, at most what the quotas of control groups grant.");

  // Functions by themselves. An image is [height, width, 3], [height, width, 1] or [height, width], uint8 or float32 in [0, 1]; the result
  // is of the same type and has the same axes unless it is said.
  m.def(
      "resize",
      [](const ImageArgument& image, const Size& size, const std::string& interpolation) {
        const auto pixels = pixels_of(image);
        const auto to = size_of(size, &pixels.image);
        const auto how = interpolation_of(interpolation);
        return apply(pixels, [&](const cv::Mat& in, cv::Mat& out) { resize(in, to, how, out); });
      },
      "image"_a, "size"_a, "interpolation"_a = "bilinear",
      "Antialiased, `bilinear` or `bicubic`; of uint8 bit-equal to Pillow's. `size` is (height, width), or the short "
      "side alone.");
  m.def(
      "center_crop",
      [](const ImageArgument& image, const Size& size) {
        return apply(image, [&, to = size_of(size)](const cv::Mat& in, cv::Mat& out) { center_crop(in, to, out); });
      },
      "image"_a, "size"_a,
      "The central (height, width) pixels, or a square; padded with zeros where the image is smaller.");
  m.def(
      "resized_crop",
      [](const ImageArgument& image, int top, int left, int height, int width, const Size& size,
         const std::string& interpolation) {
        const auto to = size_of(size);
        const auto how = interpolation_of(interpolation);
        return apply(image, [&](const cv::Mat& in, cv::Mat& out) {
          check(RandomResizedCrop{}, DrawnBox{left, top, width, height}, in.size());
          resize(in({left, top, width, height}), to, how, out);
        });
      },
      "image"_a, "top"_a, "left"_a, "height"_a, "width"_a, "size"_a, "interpolation"_a = "bilinear",
      "A box of the image, resized to (height, width) or to a square as `resize` does. The box must lie in the image.");
  m.def(
      "random_resized_crop_box",
      [](const HeightWidth& size, const Key& key, int view, const Pair& scale, const Pair& ratio) {
        const RandomResizedCrop step{.scale = {std::get<0>(scale), std::get<1>(scale)},
                                     .ratio = {std::get<0>(ratio), std::get<1>(ratio)}};
        validate(step, "random_resized_crop_box");
        if (view < 0) throw UsageError("there is no view ", view);
        Random random(key_of(key, view));
        const auto box = std::get<DrawnBox>(draw(step, size_of(size), random));
        return std::tuple(box.y, box.x, box.height, box.width);
      },
      "size"_a, "key"_a, "view"_a = 0, "scale"_a = Pair(0.08, 1.0), "ratio"_a = Pair(3.0 / 4, 4.0 / 3),
      "Draws (top, left, height, width) of a random resized crop of an image of (height, width), as a pipeline that "
      "begins "
      "with one draws it for that key and view.\n"
      "Its area is H W U(scale), width / height is exp U(log ratio), its place uniform; what does not fit is drawn "
      "again, "
      "ten times, then the centre. 0 < scale <= 1, 0 < ratio <= 1000.");
  m.def(
      "horizontal_flip",
      [](const ImageArgument& image) {
        return apply(image, [](const cv::Mat& in, cv::Mat& out) { horizontal_flip(in, out); });
      },
      "image"_a, "Mirrors left and right.");
  m.def(
      "pad_shift",
      [](const ImageArgument& image, int pad, int x, int y) {
        validate(PadShift{pad}, "pad_shift");
        return apply(image, [&](const cv::Mat& in, cv::Mat& out) { pad_shift(in, pad, x, y, out); });
      },
      "image"_a, "pad"_a, "x"_a, "y"_a,
      "DrQ's shift: every side is padded by `pad` pixels that repeat the border, and the old size is cropped at (x, "
      "y), both "
      "in [0, 2 pad]; (pad, pad) moves nothing. Of whole batches: `random_shift`.");

  def_adjust(m, "adjust_brightness", adjust_brightness, "factor", "factor * image. The factor is finite and >= 0.");
  def_adjust(m, "adjust_contrast", adjust_contrast, "factor",
             "factor * image + (1 - factor) * the mean of its grey. The factor is finite and >= 0.");
  def_adjust(m, "adjust_saturation", adjust_saturation, "factor",
             "factor * image + (1 - factor) * grey. The factor is finite and >= 0.");
  def_adjust(m, "adjust_hue", adjust_hue, "shift", "Turns the hue by `shift` turns, -0.5 to 0.5, in HSV.");
  def_adjust(m, "byol_adjust_brightness", byol::adjust_brightness, "delta",
             "BYOL's: image + delta, clamped to [0, 1]. float32 only.", Levels::kFloats);
  def_adjust(m, "byol_adjust_contrast", byol::adjust_contrast, "factor",
             "BYOL's: factor * (image - m) + m, where m is the mean of each channel, clamped to [0, 1]. float32 only.",
             Levels::kFloats);
  def_adjust(m, "byol_adjust_saturation", byol::adjust_saturation, "factor",
             "BYOL's: S of HSV times factor, clamped to [0, 1]. float32 only.", Levels::kFloats);
  def_adjust(m, "byol_adjust_hue", byol::adjust_hue, "delta", "BYOL's: H of HSV plus `delta` turns. float32 only.",
             Levels::kFloats);
  m.def(
      "grayscale",
      [](const ImageArgument& image) {
        const auto pixels = pixels_of(image);
        if (pixels.image.channels() == 3)
          return apply(pixels, [](const cv::Mat& in, cv::Mat& out) { grayscale(in, out); });
        return apply(pixels, [](const cv::Mat& in, cv::Mat& out) { cv::merge(std::vector<cv::Mat>(3, in), out); });
      },
      "image"_a, ".299 R + .587 G + .114 B, still three channels.");
  m.def(
      "to_gray",
      [](const ImageArgument& image) {
        const auto pixels = pixels_of(image);
        cv::Mat gray;
        unlocked([&] {
          if (pixels.image.channels() == 3) {
            to_gray(pixels.image, gray);
          } else {
            gray = pixels.image.clone();
          }
        });
        return array_of(std::move(gray));
      },
      "image"_a, ".299 R + .587 G + .114 B as one channel, [height, width].");
  m.def(
      "solarize",
      [](const ImageArgument& image, double threshold) {
        return apply_to_rgb(image, "solarize", [&](const cv::Mat& in, cv::Mat& out) { solarize(in, threshold, out); });
      },
      "image"_a, "threshold"_a = 0.5,
      "x < threshold ? x : 1 - x, where 1 is white: inverts what is brighter than the threshold, a fraction of white.");
  m.def(
      "posterize",
      [](const ImageArgument& image, int bits) {
        return apply_to_rgb(
            image, "posterize", [&](const cv::Mat& in, cv::Mat& out) { posterize(in, bits, out); }, Levels::kBytes);
      },
      "image"_a, "bits"_a, "Keeps the uppermost 0 to 8 bits of each value. uint8 only.");
  m.def(
      "autocontrast",
      [](const ImageArgument& image) {
        return apply_to_rgb(
            image, "autocontrast", [](const cv::Mat& in, cv::Mat& out) { autocontrast(in, out); }, Levels::kBytes);
      },
      "image"_a, "Stretches each channel to 0 to 255. uint8 only.");
  m.def(
      "equalize",
      [](const ImageArgument& image) {
        return apply_to_rgb(
            image, "equalize", [](const cv::Mat& in, cv::Mat& out) { equalize(in, out); }, Levels::kBytes);
      },
      "image"_a, "Evens out each channel's histogram. uint8 only.");
  m.def(
      "adjust_sharpness",
      [](const ImageArgument& image, double factor) {
        return apply_to_rgb(
            image, "adjust_sharpness", [&](const cv::Mat& in, cv::Mat& out) { adjust_sharpness(in, factor, out); },
            Levels::kBytes);
      },
      "image"_a, "factor"_a, "smoothed + factor * (image - smoothed). uint8 only; the factor is finite and >= 0.");
  m.def(
      "rotate",
      [](const ImageArgument& image, double angle, const std::string& interpolation, double fill) {
        return apply(image, [&](const cv::Mat& in, cv::Mat& out) {
          affine(in, rotation_matrix(angle, in.size()), sampling_of(interpolation), fill, out);
        });
      },
      "image"_a, "angle"_a, "interpolation"_a = "nearest", "fill"_a = 0.0,
      "Turns about the middle, counter-clockwise by degrees; what comes in is `fill`, a fraction of white. "
      "interpolation: "
      "`nearest` or `bilinear`.");
  m.def(
      "affine",
      [](const ImageArgument& image, double angle, const Pair& translate, double scale, const Shear& shear,
         const std::string& interpolation, double fill) {
        if (!(scale > 0)) throw UsageError("affine: the scale must be above 0, not ", scale);
        const double* along = std::get_if<double>(&shear);
        const auto [shear_x, shear_y] = along ? Pair(*along, 0) : std::get<Pair>(shear);
        return apply(image, [&, shear_x = shear_x, shear_y = shear_y](const cv::Mat& in, cv::Mat& out) {
          const AffineChange change{angle, {std::get<0>(translate), std::get<1>(translate)}, scale, shear_x, shear_y};
          affine(in, affine_matrix(change, {in.cols * 0.5, in.rows * 0.5}), sampling_of(interpolation), fill, out);
        });
      },
      "image"_a, "angle"_a = 0.0, "translate"_a = Pair(0, 0), "scale"_a = 1.0, "shear"_a = Shear(0.0),
      "interpolation"_a = "nearest", "fill"_a = 0.0,
      "Shears by degrees along rows (or (rows, columns)), scales, turns clockwise by degrees about the middle, then "
      "moves by "
      "pixels to "
      "the right and down; as `rotate` otherwise.");
  m.def(
      "augment_op",
      [](const ImageArgument& image, const std::string& operation, double magnitude, const std::string& interpolation,
         double fill) {
        return apply_to_rgb(
            image, "augment_op",
            [&](const cv::Mat& in, cv::Mat& out) {
              apply_auto(in, operation, magnitude, sampling_of(interpolation), fill, out);
            },
            Levels::kBytes);
      },
      "image"_a, "operation"_a, "magnitude"_a = 0.0, "interpolation"_a = "nearest", "fill"_a = 0.0,
      "An operation of RandAugment by torchvision's name (`ShearX`, `Posterize` ...), with its magnitude: a tangent, "
      "pixels, "
      "degrees, a difference from the factor 1, bits or a level. uint8 only.");
  m.def(
      "gaussian_blur",
      [](const ImageArgument& image, double sigma, int kernel_size, const std::string& border) {
        return apply(image, [&](const cv::Mat& in, cv::Mat& out) {
          gaussian_blur(in, sigma, kernel_size, border_of(border), out);
        });
      },
      "image"_a, "sigma"_a, "kernel_size"_a = 0, "border"_a = "reflect",
      "Weights exp(-x^2 / 2 sigma^2) that sum to 1, 0 < sigma <= 1000 pixels. kernel_size: taps, odd; 0: as many as "
      "matter, "
      "2 ceil(3.5 sigma) + 1. border: `reflect` (torchvision's) or `zero` (BYOL's).");
  m.def(
      "normalize",
      [](const ImageArgument& image, const std::vector<double>& mean, const std::vector<double>& std) {
        return apply(image, [&](const cv::Mat& in, cv::Mat& out) {
          validate(Normalize{mean, std}, "normalize");
          to_float(in, out);
          normalize(out, mean, std, out);
        });
      },
      "image"_a, "mean"_a, "std"_a,
      "(x - mean) / std by channel, of levels in [0, 1]: float32, [height, width, channels]. std must be positive.");
  m.def(
      "to_planes",
      [](const ImageArgument& image, const std::vector<double>& mean, const std::vector<double>& std) {
        const auto pixels = pixels_of(image);
        const cv::Mat& in = pixels.image;
        if (!mean.empty() || !std.empty()) validate(Normalize{mean, std}, "to_planes");
        cv::Mat planes(in.channels() * in.rows, in.cols, CV_32F);
        unlocked([&] { to_planes(in, mean, std, planes.ptr<float>()); });
        const auto rows = static_cast<std::size_t>(in.rows), columns = static_cast<std::size_t>(in.cols);
        return nb::cast(array_of(std::move(planes))).attr("reshape")(in.channels(), rows, columns);
      },
      "image"_a, "mean"_a = std::vector<double>(), "std"_a = std::vector<double>(),
      "As torchvision's ToTensor and Normalize: float32 [channels, height, width] of levels in [0, 1], then (x - mean) "
      "/ std "
      "where they are given.");
  m.def(
      "sobel",
      [](const ImageArgument& image) {
        return apply_to_rgb(
            image, "sobel", [](const cv::Mat& in, cv::Mat& out) { sobel(in, out); }, Levels::kFloats);
      },
      "image"_a,
      "DeepCluster's input: of the channels' mean [1 0 -1; 2 0 -2; 1 0 -1] and its transpose, zeros outside. float32, "
      "normalized, "
      "to float32 [height, width, 2].");

  m.def(
      "mixup",
      [](const Given<Floats>& given, const Key& key, double alpha) {
        const auto images = batch_of(given);
        Random random(key_of(key));
        const double share = draw_share(alpha, random);
        if (images.size() > 0)
          unlocked([&] { mixup({images.data(), images.size()}, static_cast<std::int64_t>(images.shape(0)), share); });
        return share;
      },
      "images"_a, "key"_a, "alpha"_a = 1.0,
      "In place, of float32 [images, channels, height, width]: share x_i + (1 - share) x_(i - 1), the first with the "
      "last, with "
      "a share from Beta(alpha, alpha) by the key (seed, epoch, batch). Returns the share, for `mix_labels`.");
  m.def(
      "cutmix",
      [](const Given<Floats>& given, const Key& key, double alpha) {
        const auto images = batch_of(given);
        for (std::size_t i = 1; i < 4; ++i)
          if (images.shape(i) > kMaxSide) throw UsageError("cutmix: an axis of ", images.shape(i));
        Random random(key_of(key));
        const double share = draw_share(alpha, random);
        if (images.size() == 0) return 1.0;
        const cv::Size size(static_cast<int>(images.shape(3)), static_cast<int>(images.shape(2)));
        const cv::Rect box = cutmix_box(share, size, random);
        return unlocked([&] {
          return cutmix({images.data(), images.size()}, static_cast<std::int64_t>(images.shape(0)),
                        static_cast<int>(images.shape(1)), size, box);
        });
      },
      "images"_a, "key"_a, "alpha"_a = 1.0,
      "In place, of float32 [images, channels, height, width]: a box of x_i becomes that of x_(i - 1), the first one's "
      "that of "
      "the last. Its sides are sqrt(1 - s) of the image's, s from Beta(alpha, alpha) by the key (seed, epoch, batch), "
      "and it is "
      "cut off at the border. Returns the share of x_i that is left, for `mix_labels`.");
  m.def(
      "mix_labels",
      [](Given<std::vector<std::int64_t>> given, std::int64_t classes, double share) {
        if (nb::hasattr(given.object, "tolist")) given.object = given.object.attr("tolist")();  // an array or a tensor
        const auto labels = value_of(given, "labels are whole numbers, one an image");
        if (classes < 1 || classes > 1 << 24) throw UsageError("there are 1 to 2^24 classes, not ", classes);
        if (labels.empty() || labels.size() > 1 << 20)
          throw UsageError("labels of 1 to 2^20 images, not ", labels.size());
        cv::Mat mixed(static_cast<int>(labels.size()), static_cast<int>(classes), CV_32F);
        mix_labels(labels, classes, share, {mixed.ptr<float>(), mixed.total()});
        return array_of(std::move(mixed));
      },
      "labels"_a, "classes"_a, "share"_a,
      "float32 [images, classes] of a batch after `mixup` or `cutmix`: the share for an image's own label, the rest "
      "for that of "
      "the one before.");
  m.def(
      "random_shift_into",
      [](const Given<Bytes>& given, int pad, const Key& key, const Given<WritableBytes>& given_out) {
        Bytes images;
        WritableBytes out;
        if (!nb::try_cast(given.object, images, /*convert=*/false))
          throw_type_error("random_shift takes an array of uint8 [images, channels, height, width], contiguous, not ",
                           shown(given.object));
        if (!nb::try_cast(given_out.object, out, /*convert=*/false))
          throw_type_error("random_shift: `out` is an array of uint8, contiguous, which may be written to, not ",
                           shown(given_out.object));
        if (images.ndim() != 4)
          throw UsageError("random_shift takes arrays [images, channels, height, width], not ", shown(given.object));
        if (out.ndim() != 4) throw UsageError("random_shift: `out` has another shape than the images");
        for (std::size_t i = 0; i < 4; ++i) {
          if (i > 0 && images.shape(i) > 1 << 30) throw UsageError("random_shift: an axis of ", images.shape(i));
          if (out.shape(i) != images.shape(i))
            throw UsageError("random_shift: `out` has another shape than the images");
        }
        // Both lie in one piece, so this is whether they share a byte.
        if (out.data() < images.data() + images.size() && images.data() < out.data() + out.size())
          throw UsageError("random_shift: `out` shares memory with the images; it must not");
        const ImageBatch batch{static_cast<std::int64_t>(images.shape(0)), static_cast<int>(images.shape(1)),
                               static_cast<int>(images.shape(2)), static_cast<int>(images.shape(3))};
        const auto at = key_of(key);
        unlocked([&] { random_shift(images.data(), batch, pad, {at.seed, at.epoch, at.sample, 0}, out.data()); });
      },
      "images"_a, "pad"_a, "key"_a, "out"_a,
      "`random_shift` into an array that is there, of the images' shape and apart from them.");
}
