#include <unlabel/augment/transforms/transform.h>
#include <unlabel/augment/transforms/work_image.h>

namespace unlabel::augment {

namespace {

// The defaults of the functions that a transform need not have. An overload for the options' own type is preferred to these templates, and
// both to the functions for a Transform, to which the options would have to be converted.

template <class Options>
void validate(const Options&, const std::string&) {}

template <class Options>
NoParams make_params(const Options&, cv::Size, Random&) {
  return {};
}

template <class Options, class Params>
void check(const Options&, const Params&, cv::Size) {}

template <class Options>
cv::Size size_after(const Options&, cv::Size image) {
  return image;
}

template <class Options>
ImageInfo info_after(const Options&, ImageInfo info, const std::string&) {
  return info;
}

template <class Options, class Params>
void apply(const Options&, const Params&, WorkImage&) = delete;

template <std::size_t... I>
std::vector<Transform> defaults(std::index_sequence<I...>) {
  return {Transform(std::in_place_index<I>)...};
}

}  // namespace

const std::vector<Transform>& transforms() {
  static const auto all = defaults(std::make_index_sequence<std::variant_size_v<Transform>>());
  return all;
}

std::string_view name(const Transform& transform) {
  return std::visit([]<class Options>(const Options&) { return std::string_view(Options::kName); }, transform);
}

std::vector<std::string> transform_names() {
  std::vector<std::string> names;
  for (const auto& transform : transforms()) names.emplace_back(name(transform));
  return names;
}

nlohmann::json to_json(const Transform& transform) {
  Transform copy = transform;  // a table refers to fields that it may change
  auto json = std::visit([](auto& options) { return table(options).to_json(); }, copy);
  json["op"] = name(transform);
  return json;
}

Transform transform_from_json(const nlohmann::json& json, const std::string& where) {
  if (!json.is_object() || !json.contains("op") || !json["op"].is_string())
    throw UsageError(where, R"(: expected an object with an "op", like {"op": "CenterCrop", "size": 224})");
  check_json_depth(json, 3, where);
  auto fields = json;
  rename_transforms(fields);
  const auto op = fields["op"].get<std::string>();
  fields.erase("op");
  for (Transform transform : transforms()) {
    if (op != name(transform)) continue;
    const std::string place = where + " (" + op + ")";
    std::visit([&](auto& options) { table(options).from_json(fields, place); }, transform);
    validate(transform, place);
    return transform;
  }
  const auto names = transform_names();
  throw UsageError(where, ": there is no transform '", op, "'", did_you_mean(op, names), "; there are ",
                   joined(names, ", "));
}

nlohmann::json to_json(const TransformParams& params) {
  TransformParams copy = params;
  return std::visit([](auto& fields) { return table(fields).to_json(); }, copy);
}

TransformParams params_from_json(const Transform& transform, const nlohmann::json& json, const std::string& where) {
  return std::visit(
      [&]<class Options>(const Options&) -> TransformParams {
        typename Options::Params params;
        table(params).from_json(json, where);
        return params;
      },
      transform);
}

void rename_transforms(nlohmann::json& json) {
  if (const auto op = json.is_object() ? json.find("op") : json.end(); op != json.end() && *op == "PadShift")
    *op = RandomShift::kName;
  for (auto& value : json)
    if (value.is_structured()) rename_transforms(value);
}

void validate(const Transform& transform, const std::string& where) {
  std::visit(
      [&](const auto& options) {
        if constexpr (requires { options.p; })  // written so that NaN is refused
          if (!(options.p >= 0 && options.p <= 1)) throw UsageError(where, ": p must be in [0, 1], not ", options.p);
        validate(options, where);
      },
      transform);
}

TransformParams make_params(const Transform& transform, cv::Size image, Random& random) {
  return std::visit([&](const auto& options) -> TransformParams { return make_params(options, image, random); },
                    transform);
}

void check(const Transform& transform, const TransformParams& params, cv::Size image) {
  std::visit(
      [&]<class Options>(const Options& options) {
        const auto* own = std::get_if<typename Options::Params>(&params);
        if (!own) throw UsageError("the parameters are not those of ", Options::kName);
        check(options, *own, image);
      },
      transform);
}

cv::Size size_after(const Transform& transform, cv::Size image) {
  return std::visit([&](const auto& options) { return size_after(options, image); }, transform);
}

ImageInfo info_after(const Transform& transform, ImageInfo info, const std::string& where) {
  return std::visit(
      [&]<class Options>(const Options& options) {
        if constexpr (requires { Options::kRequires; }) Options::kRequires(info, where);
        return info_after(options, info, where);
      },
      transform);
}

void apply(const Transform& transform, const TransformParams& params, WorkImage& work) {
  std::visit(
      [&]<class Options>(const Options& options) { apply(options, std::get<typename Options::Params>(params), work); },
      transform);
}

}  // namespace unlabel::augment
