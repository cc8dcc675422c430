#include <unlabel/ssl/planner_parts.h>

#include <bit>
#include <charconv>
#include <cmath>

namespace unlabel::ssl {

using nlohmann::json;

json::json_pointer setting_pointer(std::string setting) {
  std::replace(setting.begin(), setting.end(), '.', '/');
  return json::json_pointer("/" + setting);
}

std::int64_t round_to(double value, std::int64_t step, std::int64_t least) {
  return std::max(least, static_cast<std::int64_t>(std::llround(value / static_cast<double>(step))) * step);
}

double two_digits(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value, std::chars_format::general, 2).ptr;
  std::from_chars(text, end, value);
  return value;
}

Planner::Planner(const PlanInput& input) : input_(input) {
  if (input.images < 2 || input.median_short_side < 1)
    throw UsageError("a plan needs images: there are ", input.images, ", with a median short side of ",
                     input.median_short_side, " pixels");
  plan_.recipe = input.given;
}

std::int64_t Planner::global_size() {
  const int side = input_.median_short_side;
  return choose<std::int64_t>("augment.global_size",
                              side >= 224 ? 224
                              : small()   ? side
                                          : side / 8 * 8,
                              side >= 224
                                  ? "the paper's; the images are larger"
                                  : concat("half of the images have a short side of ", side, " pixels or less"));
}

std::int64_t Planner::encoder() {
  const bool large = images() >= 100000 && !small();
  const auto arch = choose<std::string>("encoder.arch", large ? "resnet50" : "resnet18",
                                        large     ? "the paper's"
                                        : small() ? "small images"
                                                  : concat(images(), " images do not need a larger one"));
  choose<std::string>("encoder.stem", small() ? "small" : "imagenet",
                      small() ? "images of up to 64 pixels keep their resolution" : "images of more than 64 pixels");
  const auto width = find_setting<std::int64_t>(input_.given, "encoder.width").value_or(64);
  return (arch == "resnet18" || arch == "resnet34" ? 8 : 32) * width;
}

std::int64_t Planner::batch_size() {
  const auto power = [](std::int64_t value) {
    return static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(std::max<std::int64_t>(1, value))));
  };
  const auto few = power(images() / 16);
  const auto batch =
      choose<std::int64_t>("batch_size", std::min(power(images()), std::clamp<std::int64_t>(few, 32, 256)),
                           few >= 256  ? "the smaller of the published sizes"
                           : few >= 32 ? "at least 16 updates an epoch"
                                       : "less is too little for batch statistics");
  if (batch < 1) throw UsageError("--batch-size must be at least 1, not ", batch);
  return batch;
}

std::int64_t Planner::epochs() {
  return choose<std::int64_t>("epochs",
                              images() >= 500000  ? 100
                              : images() >= 50000 ? 200
                                                  : 400,
                              images() >= 500000 ? "the shortest published run; 200 to 800 give up to 3 points more"
                                                 : "small data sets need more passes");
}

void Planner::optimizer(const std::string& kind) {
  const auto chosen = choose<std::string>("optimizer.kind", kind, "the paper's");
  if (chosen != kind && !find_setting<double>(input_.given, "optimizer.lr"))
    throw UsageError("--optimizer.kind ", chosen, " needs --optimizer.lr: rates are planned for ", kind, " only");
}

Plan Planner::take() {
  plan_.warnings = plan_warnings(plan_.recipe, input_.images, input_.median_short_side);
  return std::move(plan_);
}

Plan make_plan(const PlanInput& input) {
  if (!input.given.is_object()) throw UsageError("the given settings must be a JSON object");
  const auto method = find_setting<std::string>(input.given, "method").value_or("");
  if (method == "byol") return plan_byol(input);
  if (method == "moco") return plan_moco(input);
  if (method == "simclr") return plan_simclr(input);
  if (method == "swav") return plan_swav(input);
  throw UsageError("there is no plan for the method '", method, "'; give a --recipe");
}

Warnings plan_warnings(const json& settings, std::int64_t images, int median_short_side) {
  Warnings warnings;
  const auto warn = [&](const auto&... parts) { warnings.push_back(concat(parts...)); };
  const auto number = [&](const std::string& setting) { return find_setting<std::int64_t>(settings, setting); };
  const auto batch = number("batch_size");
  const auto method = find_setting<std::string>(settings, "method").value_or("");

  if (images < 1000)
    warn("only ", images, " images: too few to learn much from; start from released weights with --init");
  if (batch && *batch > images)
    warn("a batch of ", *batch, " is larger than the data of ", images, " images: give --batch-size ", images,
         " or less");
  if (batch && *batch > 0 && *batch < 32)
    warn("a batch of ", *batch, " is small for batch statistics", method == "swav" ? " and Sinkhorn" : "",
         ": 32 or more work better");
  if (method == "moco") warn_moco(settings, images, warnings);
  if (method == "swav") warn_swav(settings, images, warnings);
  for (const char* setting : {"global", "local"})
    if (const auto size = number(concat("augment.", setting, "_size")); size && *size > median_short_side)
      warn("crops of ", *size, " pixels from images with a median short side of ", median_short_side,
           " are only enlarged: give --augment.", setting, "-size ", median_short_side, " or less");
  return warnings;
}

}  // namespace unlabel::ssl
