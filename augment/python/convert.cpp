#include <unlabel/augment/ops/geometry.h>
#include <unlabel/augment/python/convert.h>

#include <fcntl.h>
#include <opencv2/core.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace unlabel::augment::python {

namespace {

cv::Size checked(int height, int width) {
  if (height < 1 || width < 1 || height > kMaxSide || width > kMaxSide)
    throw UsageError("a size is (height, width), 1 to ", kMaxSide, " pixels each, not (", height, ", ", width, ")");
  return {width, height};
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

/// Fills `bytes` with a whole regular file. Returns errno, 0 when it went well.
int read_file(const char* path, std::vector<std::uint8_t>& bytes) {
  struct File {
    int descriptor;
    ~File() {
      if (descriptor >= 0) ::close(descriptor);
    }
  } file{-1};
  do {  // O_NONBLOCK: opening a pipe would wait for a writer
    file.descriptor = ::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  } while (file.descriptor < 0 && errno == EINTR);
  struct stat status {};
  if (file.descriptor < 0 || ::fstat(file.descriptor, &status) != 0) return errno;
  if (S_ISDIR(status.st_mode)) return EISDIR;
  if (!S_ISREG(status.st_mode)) return ENOTSUP;
  if (status.st_size > kMaxFileSize) return EFBIG;
  bytes.resize(static_cast<std::size_t>(status.st_size) + 1);  // one more, so that the end is found without growing
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

}  // namespace

std::string shown(const nb::object& object) {
  if (nb::hasattr(object, "dtype") && nb::hasattr(object, "shape")) {
    const nb::object dtype = object.attr("dtype"), shape = object.attr("shape");
    const nb::str kind{dtype}, sides = nb::repr(nb::tuple(shape));
    return concat("an array of ", kind.c_str(), " ", sides.c_str());
  }
  const std::string text = nb::repr(object).c_str();
  return text.size() <= 80 ? text : text.substr(0, 77) + "...";
}

ViewKey key_of(const Key& key, int view) {
  const auto [seed, epoch, sample] = value_of(key, "a key is (seed, epoch, sample), whole numbers from 0 to 2^64 - 1");
  return {seed, epoch, sample, static_cast<std::uint32_t>(view)};
}

cv::Size size_of(const HeightWidth& size) {
  const auto [height, width] = value_of(size, "a size is (height, width)");
  return checked(height, width);
}

cv::Size size_of(const Size& size, const cv::Mat* image) {
  const auto value = value_of(size, "a size is one whole number, or (height, width)");
  if (const int* side = std::get_if<int>(&value)) {
    const auto square = checked(*side, *side);
    return image ? short_side_size(image->size(), *side) : square;
  }
  const auto [height, width] = std::get<1>(value);
  return checked(height, width);
}

nlohmann::json json_from(nb::handle value, int depth) {
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

nlohmann::json json_of(const std::string& text, const char* what) {
  try {
    return parse_json(text, what);
  } catch (const JsonError& error) {
    throw UsageError(error.what());
  }
}

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

nb::ndarray<nb::numpy> array_of(cv::Mat image, bool channel_axis) {
  auto* const kept = new cv::Mat(image.isContinuous() ? std::move(image) : image.clone());
  const nb::capsule owner(kept, [](void* mat) noexcept { delete static_cast<cv::Mat*>(mat); });
  const std::size_t shape[] = {static_cast<std::size_t>(kept->rows), static_cast<std::size_t>(kept->cols),
                               static_cast<std::size_t>(kept->channels())};
  return {kept->data, kept->channels() == 1 && !channel_axis ? 2u : 3u,
          shape,      owner,
          nullptr,    kept->depth() == CV_32F ? nb::dtype<float>() : nb::dtype<std::uint8_t>()};
}

void warn_of(const DecodeReport& report) {
  const std::string text = range_warning(report);
  if (!text.empty() && PyErr_WarnEx(PyExc_UserWarning, text.c_str(), 2) != 0) throw nb::python_error();
}

}  // namespace unlabel::augment::python
