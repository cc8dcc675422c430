// Any text is settings, or a UsageError: options, pipelines, what was drawn for them, and what the planner makes of them.
#include <unlabel/augment/error.h>
#include <unlabel/augment/fused/fused_view.h>
#include <unlabel/augment/options.h>
#include <unlabel/augment/transforms/multi_crop.h>
#include <unlabel/augment/transforms/presets.h>
#include <unlabel/ssl/planning/plan_builder.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

namespace {

using namespace unlabel;

/// What is accepted as drawn parameters comes back the same, and makes a view or is refused.
void replay(const nlohmann::json& json, bool fused) {
  using namespace augment;
  const std::vector<Transform> steps{
      RandomResizedCrop{{8, 5}}, RandomHorizontalFlip{}, ColorJitter{1, 0.4, 0.4, 0.4, 0.1},
      RandomGrayscale{},         GaussianBlur{},         RandomSolarize{}};
  static const Pipeline for_planes(steps), any([&] {
    auto more = steps;
    more.insert(more.end(), {RandomRotation{.interpolation = Sampling::kBilinear}, RandomAffine{}, RandAugment{},
                             TrivialAugmentWide{}, RandomShift{}, Normalize{}, RandomErasing{}});
    return more;
  }());
  static const cv::Mat image(24, 31, CV_8UC3, cv::Scalar(10, 200, 90));
  static const PlanarImage planes = [] {
    PlanarImage made;
    made.assign(image);
    return made;
  }();
  const Pipeline& pipeline = fused ? for_planes : any;
  const auto params = pipeline.params_from_json(json);
  if (pipeline.params_from_json(pipeline.params_to_json(params)) != params) std::abort();
  std::vector<float> view(pipeline.output_shape().size());
  if (fused)
    apply_fused(pipeline, planes, params, view.data());
  else
    pipeline.apply(image, params, view.data());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto json = nlohmann::json::parse(data, data + size, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return 0;
  const auto tried = [](const std::function<void()>& action) {
    try {
      action();
    } catch (const UsageError&) {
    }
  };
  tried([&] {
    augment::PresetOptions options;
    auto fields = table(options);
    fields.from_json(json, "fuzz");
    if (fields.to_json().empty()) std::abort();
    for (const char* name : {"swav", "simclr", "eval"}) augment::preset(name, options);
  });
  tried([&] {
    const auto crops = augment::MultiCrop::from_json(json);
    if (augment::MultiCrop::from_json(crops.to_json()).to_json() != crops.to_json()) std::abort();
  });
  for (const bool fused : {false, true}) tried([&] { replay(json, fused); });
  if (!json.is_object()) return 0;
  for (const auto& method : {ssl::byol_plan(), ssl::deepcluster_plan(), ssl::deepcluster_v2_plan(), ssl::moco_plan(),
                             ssl::simclr_plan(), ssl::swav_plan()}) {
    tried([&] { ssl::make_plan(method, {.images = 1000, .median_short_side = 64, .given = json}); });
    tried([&] { ssl::plan_warnings(method, json, 1000, 64); });
  }
  return 0;
}
