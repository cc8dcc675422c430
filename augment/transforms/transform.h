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
#include <variant>

namespace unlabel::augment {

// The steps of a pipeline. Each is a struct of options, which says what may happen to an image; drawing decides what does happen to one
// view, and applying does it. Names and defaults are torchvision's.
//
// A step is written down in its family's pair of files (crop, color ...): the options with the name of the step in JSON, kName; the
// parameters that it draws; and overloads of `table` and of the functions below for the type of the options. `table` and `apply` must be
// there; a step without the others has nothing to validate, draws nothing, checks nothing, and keeps size, channels and type. So to add a
// step is to write these and to name it in Step, and the type that it draws in Drawn.

/// Every step there is.
using Transform = std::variant<RandomResizedCrop, Resize, CenterCrop, RandomHorizontalFlip, ColorJitter,
                               RandomGrayscale, Grayscale, GaussianBlur, RandomSolarize, PadShift, Normalize, Sobel,
                               RandomRotation, RandomAffine, RandAugment, TrivialAugmentWide, RandomErasing>;

/// What was drawn for one step of one view: all that is random about it.
using Drawn = std::variant<NothingDrawn, DrawnBox, DrawnChoice, DrawnJitter, DrawnBlur, DrawnShift, DrawnAffine,
                           DrawnOperations, DrawnErasing>;

/// The step's name in JSON, the struct's name: "RandomResizedCrop".
std::string_view name(const Transform& step);

/// {"op": "RandomResizedCrop", "size": 224, ...} with every field. from: missing fields keep their defaults; throws
/// UsageError for an unknown operation or field, naming the nearest, and for a value out of range. `where` begins the
/// message.
nlohmann::json to_json(const Transform& step);
Transform step_from_json(const nlohmann::json& json, const std::string& where);

/// {"x": 10, "y": 3, "width": 200, "height": 180}, {"apply": true} ... as it fits `step`; numbers come back bit-equal.
nlohmann::json to_json(const Drawn& drawn);
Drawn drawn_from_json(const Transform& step, const nlohmann::json& json, const std::string& where);

/// Throws UsageError that names the field which is out of range.
void validate(const Transform& step, const std::string& where);

/// Draws the step's parameters for an image of that size.
Drawn draw(const Transform& step, cv::Size image, Random& random);

/// Throws UsageError when the parameters are of another step or out of range (a box that leaves the image).
void check(const Transform& step, const Drawn& drawn, cv::Size image);

/// The size of an image after the step, in pixels.
cv::Size size_after(const Transform& step, cv::Size image);

// For Pipeline (work.h).

/// What is known about the image after the step. Throws UsageError, which begins with `where`, when the step does not fit what is known
/// before it.
Known after(const Transform& step, Known known, const std::string& where);

/// Runs the step with parameters that `check` lets pass.
void apply(const Transform& step, const Drawn& drawn, Work& work);

}  // namespace unlabel::augment
