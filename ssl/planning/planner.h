#pragma once

#include <unlabel/ssl/models/encoder_facts.h>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace unlabel::ssl {

/// What a plan is made from. The number of processes is not part of it: it never changes a setting.
struct PlanInput {
  std::int64_t images = 0;    ///< in the data set
  int median_short_side = 0;  ///< of the images, in pixels; 0 of other data
  /// Settings that are fixed already, in a recipe's layout (nested objects); the others follow them.
  nlohmann::json given = nlohmann::json::object();
  EncoderFactsOf encoder_facts{};  ///< null: every architecture is a ResNet-50
};

/// A setting, and why it has its value.
struct PlannedSetting {
  std::string setting;  ///< dotted: "swav.prototypes"
  nlohmann::json value;
  std::string reason;  ///< one line
};

struct Plan {
  nlohmann::json recipe;  ///< overlay in a recipe's layout, with all that was chosen and all that was given
  std::vector<PlannedSetting> choices;  ///< in the order of the log; not what was given
  std::vector<std::string> warnings;    ///< plan_warnings of the outcome
};

/// Plans for one method. It is made with a PlanBuilder (plan_builder.h), which also has the choices that all methods share.
using PlanFunction = std::function<Plan(const PlanInput&)>;

/// Warnings of one method's own, beside those of plan_warnings: from resolved settings and the number of images.
using WarningFunction = std::function<std::vector<std::string>(const nlohmann::json& settings, std::int64_t images)>;

/// What the planner knows of a method.
struct MethodPlan {
  PlanFunction plan{};         ///< null: a run needs a --recipe
  WarningFunction warnings{};  ///< null: none
  std::string paper{};         ///< the recipe of the main run of its paper, to compare with; empty: none
  std::int64_t fewest_updates =
      100;  ///< fewer are warned of: on small data a plan gains little by them (docs/results.md)
};

/// Settings of the method `method` for data of one's own, derived from what is known to work. For all methods:
///
/// - Crops are no larger than the median short side: 224 where that is possible; up to 64 pixels the small stem and no blur, as
///   published recipes for CIFAR have it.
/// - A batch of 256, or less where that leaves fewer than 16 updates an epoch; more passes over smaller data sets.
///
/// What is the method's own stands in plan_METHOD.cpp. Throws UsageError for a method without a plan, for no images, for a given value of
/// the wrong type or out of range, and for another optimizer without its learning rate.
Plan make_plan(const MethodPlan& method, const PlanInput& input);

/// What cannot work, or is unlikely to, in resolved settings (a recipe's layout; missing ones are not judged): a batch larger than the
/// data, few images, crops larger than the images, and what a method knows of itself (SwAV: K > N, a queue that never fills ...).
std::vector<std::string> plan_warnings(const MethodPlan& method, const nlohmann::json& settings, std::int64_t images,
                                       int median_short_side, const EncoderFactsOf& encoder_facts = {});

}  // namespace unlabel::ssl
