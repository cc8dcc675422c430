// Any text is settings, or a UsageError: options, pipelines, and what the planner makes of them.
#include <unlabel/augment/error.h>
#include <unlabel/augment/multi_crop.h>
#include <unlabel/augment/options.h>
#include <unlabel/augment/presets.h>
#include <unlabel/ssl/planner.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace unlabel;
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
  if (!json.is_object()) return 0;
  for (const char* method : {"byol", "deepcluster", "deepcluster_v2", "moco", "simclr", "swav"}) {
    auto given = json;
    given["method"] = method;
    tried([&] { ssl::make_plan({.images = 1000, .median_short_side = 64, .given = given}); });
    tried([&] { ssl::plan_warnings(given, 1000, 64); });
  }
  return 0;
}
