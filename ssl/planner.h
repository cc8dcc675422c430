#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace unlabel::ssl {

/// What a plan is made from. The number of processes is not part of it: it never changes a setting.
struct PlanInput {
  std::int64_t images = 0;    ///< in the data set
  int median_short_side = 0;  ///< of the images, in pixels
  /// Settings that are fixed already, in a recipe's layout (nested objects); the others follow them.
  nlohmann::json given = nlohmann::json::object();
};

/// A setting, and why it has its value.
struct Choice {
  std::string setting;  ///< dotted: "swav.prototypes"
  nlohmann::json value;
  std::string reason;  ///< one line
};

struct Plan {
  nlohmann::json recipe;              ///< overlay in a recipe's layout, with all that was chosen and all that was given
  std::vector<Choice> choices;        ///< in the order of the log; not what was given
  std::vector<std::string> warnings;  ///< swav_warnings of the outcome
};

/// Settings of SwAV for data of one's own, derived from what is known to work:
///
/// - Crops are no larger than the median short side: 224 and 96 where that is possible, the same ratio below; up to 64
///   pixels the small stem, no blur and half the colour jitter, as published recipes for CIFAR have it.
/// - The learning rate goes through the two published points of LARC, 0.6 at a batch of 256 and 4.8 at 4096, as a power
///   of the batch (0.75; not the linear rule); batches from 1024 on warm up for 10 epochs from a sixteenth of it. It
///   ends at a thousandth.
/// - Prototypes: one for every 100 images, from 64 to the paper's 3000, never more than a quarter of the images.
/// - The prototypes are frozen for the first epoch, as in the published scripts (313 iterations of 4096, 5005 of 256,
///   on ImageNet).
/// - A queue when there are more than twice as many prototypes as samples in a batch: 1.28 embeddings a prototype (3840
///   for 3000), from epoch 15, or an eighth of the run.
///
/// Throws UsageError for no images, for a given value of the wrong type or out of range, and for another optimiser
/// without its learning rate.
Plan plan_swav(const PlanInput& input);

/// What cannot work, or is unlikely to, in resolved settings (a recipe's layout; missing ones are not judged): a batch
/// larger than the data, K > N, K far above the batch, crops larger than the images, few images, a queue that never
/// fills, prototypes frozen to the end.
std::vector<std::string> swav_warnings(const nlohmann::json& settings, std::int64_t images, int median_short_side);

}  // namespace unlabel::ssl
