#pragma once

#include <unlabel/augment/random.h>
#include <unlabel/augment/transforms/blur.h>
#include <unlabel/augment/transforms/color.h>
#include <unlabel/augment/transforms/crop.h>
#include <unlabel/augment/transforms/erase.h>
#include <unlabel/augment/transforms/flip_rotate.h>
#include <unlabel/augment/transforms/normalize.h>
#include <unlabel/augment/transforms/parameters.h>
#include <unlabel/augment/transforms/policies.h>

#include <nlohmann/json.hpp>
#include <opencv2/core/types.hpp>

#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

namespace unlabel::augment {

// The transforms that a pipeline consists of. Each is a struct of options, named and defaulted as in torchvision. make_params turns the
// options into the parameters of one view (everything random about it), and `apply` applies these to an image.
//
// To add a transform: write a pair of files as the others are, include it above, name its struct in the list, and add its source to
// CMakeLists.txt. It has
//   - kName, its name in JSON, and Params, the type of its parameters (NoParams when nothing is random);
//   - a field `p`, if it has a probability (it is checked to be from 0 to 1), and kRequires, if it works on some images only
//     (parameters.h);
//   - `table` for its options, and for Params unless it is one of the structs in parameters.h;
//   - `apply`, and those of validate, make_params, check, size_after and info_after (all below) whose default does not fit: options
//     that are always valid, no parameters, parameters that are always valid, and an image of the same size, channels and type.

/// The list of all transforms, which names, JSON, help texts and errors are read from.
using Transform = std::variant<RandomResizedCrop, Resize, CenterCrop, RandomHorizontalFlip, ColorJitter,
                               RandomGrayscale, Grayscale, GaussianBlur, RandomSolarize, RandomShift, Normalize, Sobel,
                               RandomRotation, RandomAffine, RandAugment, TrivialAugmentWide, RandomErasing>;

namespace detail {

/// A variant of the types, each once.
template <class Found, class... Types>
struct DistinctTypes {
  using type = Found;
};
template <class... Found, class Type, class... Types>
struct DistinctTypes<std::variant<Found...>, Type, Types...>
    : DistinctTypes<std::conditional_t<(std::is_same_v<Found, Type> || ...), std::variant<Found...>,
                                       std::variant<Found..., Type>>,
                    Types...> {};

template <class Transforms>
struct ParamsOfAll;
template <class... Options>
struct ParamsOfAll<std::variant<Options...>> : DistinctTypes<std::variant<NoParams>, typename Options::Params...> {};

}  // namespace detail

/// The parameters of one transform for one view.
using TransformParams = detail::ParamsOfAll<Transform>::type;

/// Every transform with its defaults, in the order of the list.
const std::vector<Transform>& transforms();

/// The transform's name in JSON, that of its struct: "RandomResizedCrop".
std::string_view name(const Transform& transform);

/// The names of all transforms.
std::vector<std::string> transform_names();

/// {"op": "RandomResizedCrop", "size": 224, ...} with every field. In transform_from_json, missing fields keep their defaults; throws
/// UsageError for an unknown transform or field, naming the nearest, and for a value out of range. `where` begins the message.
nlohmann::json to_json(const Transform& transform);
Transform transform_from_json(const nlohmann::json& json, const std::string& where);

/// {"x": 10, "y": 3, "width": 200, "height": 180}, {"apply": true} ... by the type of the parameters; numbers come back bit-equal.
nlohmann::json to_json(const TransformParams& params);
TransformParams params_from_json(const Transform& transform, const nlohmann::json& json, const std::string& where);

/// Replaces former names of transforms by the present ones in JSON of an earlier version ("PadShift" is RandomShift), at any depth.
void rename_transforms(nlohmann::json& json);

/// Checks the options. Throws UsageError that names the field which is out of range.
void validate(const Transform& transform, const std::string& where);

/// Random parameters for an image of that size.
TransformParams make_params(const Transform& transform, cv::Size image, Random& random);

/// Checks parameters. Throws UsageError when they are those of another transform or out of range (a box that leaves the image).
void check(const Transform& transform, const TransformParams& params, cv::Size image);

/// The size of the transformed image, in pixels.
cv::Size size_after(const Transform& transform, cv::Size image);

// For Pipeline (work_image.h).

/// What is known about the transformed image (its size if it is fixed, channels, type), from the same about the image before. Throws
/// UsageError, which begins with `where`, when the transform cannot take such an image.
ImageInfo info_after(const Transform& transform, ImageInfo info, const std::string& where);

/// Applies the transform with parameters that passed `check`.
void apply(const Transform& transform, const TransformParams& params, WorkImage& work);

/// Several lambdas as one visitor: `std::visit(Overloaded{[](const A&) {...}, [](const B&) {...}}, variant)`.
template <class... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};
// C++20 needs no guide; clang 14, whose clang-tidy reads this, does.
template <class... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;

}  // namespace unlabel::augment
