#include <unlabel/augment/transforms/parameters.h>

namespace unlabel::augment {

void to_json(nlohmann::json& json, const ImageSize& size) {
  json = size.width == 0 ? nlohmann::json(size.height) : nlohmann::json{size.height, size.width};
}
void from_json(const nlohmann::json& json, ImageSize& size) {
  size = json.is_array() ? ImageSize{json[0].get<int>(), json[1].get<int>()} : ImageSize{json.get<int>(), 0};
}
void to_json(nlohmann::json& json, const Range& range) { json = {range.low, range.high}; }
void from_json(const nlohmann::json& json, Range& range) { range = {json[0].get<double>(), json[1].get<double>()}; }

OptionTable table(NoParams&) { return {}; }

OptionTable table(ApplyParams& d) { return {{"apply", d.apply, "whether it is applied"}}; }

OptionTable table(CropParams& d) {
  return {
      {"x", d.x, "left column"}, {"y", d.y, "top row"}, {"width", d.width, "columns"}, {"height", d.height, "rows"}};
}

// Comparisons test what is allowed, so that NaN is refused.

void check_range(const char* field, Range range, double low, double high, const std::string& where) {
  if (!(range.low > low && range.low <= range.high && range.high <= high))
    throw UsageError(where, ": ", field, " must rise within (", low, ", ", high, "], not [", range.low, ", ",
                     range.high, "]");
}

void check_fill(double fill, const std::string& where) {
  if (!(fill >= 0 && fill <= 1)) throw UsageError(where, ": fill is a fraction of white, in [0, 1], not ", fill);
}

void check_box(const CropParams& box, int least, cv::Size image) {
  // Subtracted from the image's sides: the sum of the box's may not fit into an int.
  if (box.x < 0 || box.y < 0 || box.width < least || box.height < least || box.width > image.width - box.x ||
      box.height > image.height - box.y)
    throw UsageError("a box of ", box.width, " x ", box.height, " at (", box.x, ", ", box.y,
                     ") does not fit in an image of ", image.width, " x ", image.height);
}

}  // namespace unlabel::augment
