#include <unlabel/augment/error.h>
#include <unlabel/augment/transforms/transform.h>
#include <unlabel/augment/transforms/work.h>

#include <cstddef>
#include <utility>
#include <vector>

namespace unlabel::augment {

namespace {

// What a step does whose family has no such function for it: an overload for the options' own type is preferred to these templates, and
// both to the functions for a Step, which the options would first have to become.

template <class Options>
void validate(const Options&, const std::string&) {}

template <class Options>
NothingDrawn draw(const Options&, cv::Size, Random&) {
  return {};
}

template <class Options, class Parameters>
void check(const Options&, const Parameters&, cv::Size) {}

template <class Options>
cv::Size size_after(const Options&, cv::Size image) {
  return image;
}

template <class Options>
Known after(const Options&, Known known, const std::string&) {
  return known;
}

template <class Options, class Parameters>
void apply(const Options&, const Parameters&, Work&) = delete;

/// The parameters of a step: what its `draw` returns.
template <class Options>
using DrawnBy = decltype(draw(std::declval<const Options&>(), cv::Size(), std::declval<Random&>()));

/// What a step draws, before it is drawn.
Drawn blank(const Transform& step) {
  return std::visit([]<class Options>(const Options&) -> Drawn { return DrawnBy<Options>(); }, step);
}

/// Every step with its defaults, in the order of the variant.
template <std::size_t... I>
std::vector<Transform> all_steps(std::index_sequence<I...>) {
  return {Transform(std::in_place_index<I>)...};
}
std::vector<Transform> all_steps() { return all_steps(std::make_index_sequence<std::variant_size_v<Transform>>()); }

}  // namespace

std::string_view name(const Transform& step) {
  return std::visit([]<class Options>(const Options&) { return std::string_view(Options::kName); }, step);
}

nlohmann::json to_json(const Transform& step) {
  Transform copy = step;  // a table refers to what may be changed by it
  auto json = std::visit([](auto& options) { return table(options).to_json(); }, copy);
  json["op"] = name(step);
  return json;
}

Transform step_from_json(const nlohmann::json& json, const std::string& where) {
  if (!json.is_object() || !json.contains("op") || !json["op"].is_string())
    throw UsageError(where, R"(: expected an object with an "op", like {"op": "CenterCrop", "size": 224})");
  check_json_depth(json, 3, where);
  const auto op = json["op"].get<std::string>();
  std::vector<std::string> names;
  for (Transform& step : all_steps()) {
    if (op != name(step)) {
      names.emplace_back(name(step));
      continue;
    }
    auto fields = json;
    fields.erase("op");
    const std::string place = where + " (" + op + ")";
    std::visit([&](auto& options) { table(options).from_json(fields, place); }, step);
    validate(step, place);
    return step;
  }
  auto hint = did_you_mean(op, names);
  if (hint.empty()) hint = "; there are " + joined(names, ", ");
  throw UsageError(where, ": there is no operation '", op, "'", hint);
}

nlohmann::json to_json(const Drawn& drawn) {
  Drawn copy = drawn;
  return std::visit([](auto& parameters) { return table(parameters).to_json(); }, copy);
}

Drawn drawn_from_json(const Transform& step, const nlohmann::json& json, const std::string& where) {
  Drawn drawn = blank(step);
  std::visit([&](auto& parameters) { table(parameters).from_json(json, where); }, drawn);
  return drawn;
}

void validate(const Transform& step, const std::string& where) {
  std::visit([&](const auto& options) { validate(options, where); }, step);
}

Drawn draw(const Transform& step, cv::Size image, Random& random) {
  return std::visit([&](const auto& options) -> Drawn { return draw(options, image, random); }, step);
}

void check(const Transform& step, const Drawn& drawn, cv::Size image) {
  if (drawn.index() != blank(step).index()) throw UsageError("the drawn parameters do not belong to ", name(step));
  std::visit([&]<class Options>(const Options& options) { check(options, std::get<DrawnBy<Options>>(drawn), image); },
             step);
}

cv::Size size_after(const Transform& step, cv::Size image) {
  return std::visit([&](const auto& options) { return size_after(options, image); }, step);
}

Known after(const Transform& step, Known known, const std::string& where) {
  return std::visit([&](const auto& options) { return after(options, known, where); }, step);
}

void apply(const Transform& step, const Drawn& drawn, Work& work) {
  std::visit([&]<class Options>(const Options& options) { apply(options, std::get<DrawnBy<Options>>(drawn), work); },
             step);
}

}  // namespace unlabel::augment
