#pragma once

#include <unlabel/augment/codec/decode.h>
#include <unlabel/augment/error.h>
#include <unlabel/augment/random.h>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>
#include <nlohmann/json.hpp>
#include <opencv2/core/mat.hpp>

#include <cstdint>
#include <string>
#include <tuple>
#include <variant>

namespace unlabel::augment::python {

// From Python's objects to the library's, and back. A wrong argument gives one line of text: a TypeError for another type, a UsageError,
// which module.cpp makes a ValueError, for another value.

namespace nb = nanobind;

/// An argument as it was given, which `value_of` reads: a wrong one then gives one line, not a list of signatures.
template <class Value>
struct Given {
  nb::object object;
};

}  // namespace unlabel::augment::python

namespace nanobind::detail {

/// Takes any object, and is named in signatures as what it should be.
template <class Inner>
struct type_caster<unlabel::augment::python::Given<Inner>> {
  NB_TYPE_CASTER(unlabel::augment::python::Given<Inner>, make_caster<Inner>::Name)
  bool from_python(handle source, std::uint8_t, cleanup_list*) noexcept {
    value.object = borrow(source);
    return true;
  }
};

}  // namespace nanobind::detail

namespace unlabel::augment::python {

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

// ---- Messages ----

/// A short text that describes the object.
std::string shown(const nb::object& object);

template <class... Parts>
[[noreturn]] void throw_type_error(const Parts&... parts) {
  throw nb::type_error(concat(parts...).c_str());
}

// ---- Arguments ----

/// The argument as a Value. Throws UsageError that begins with `what`: what the argument should be.
template <class Value>
Value value_of(const Given<Value>& given, const char* what) {
  Value value;
  if (nb::try_cast(given.object, value)) return value;
  throw UsageError(what, ", not ", shown(given.object));
}

ViewKey key_of(const Key& key, int view = 0);

// Sizes of 1 to kMaxSide pixels a side: UsageError for others.

cv::Size size_of(const HeightWidth& size);
/// One number is the sides of a square, or with an image its short side.
cv::Size size_of(const Size& size, const cv::Mat* image = nullptr);

/// A value for an option: None, a truth value, a number, text, or a list of such; NumPy's too.
nlohmann::json json_from(nb::handle value, int depth = 0);
/// The value of an option: a truth value, a number or a tuple of such; None for anything else.
nb::object object_from(const nlohmann::json& json);

/// Parses a text of JSON. Throws UsageError that begins with `what`.
nlohmann::json json_of(const std::string& text, const char* what);

// ---- Images ----

/// Pixels from Python.
struct Pixels {
  Array array;  ///< the memory that they lie in
  cv::Mat image;
  bool channel_axis;  ///< whether it is [height, width, channels]
};

/// The argument of a function on one image.
Pixels pixels_of(const ImageArgument& given);

/// An image from Python, and the array that its pixels lie in.
struct Image {
  ImageSource source;
  Array array;
};

/// Of bytes, a path, or an array, without a copy of an array's pixels. Throws OSError for a file that cannot be read.
Image image_from(nb::handle image, const DecodeOptions& options);

/// An array that owns what was made. Of one channel it is [height, width], or with `channel_axis` [height, width, 1].
nb::ndarray<nb::numpy> array_of(cv::Mat image, bool channel_axis = false);

/// Warns, by Python's warnings, that 16-bit images lost most of their levels.
void warn_of(const DecodeReport& report);

/// Runs `act` without the interpreter's lock.
template <class Act>
auto unlocked(const Act& act) {
  const nb::gil_scoped_release release;
  return act();
}

}  // namespace unlabel::augment::python
