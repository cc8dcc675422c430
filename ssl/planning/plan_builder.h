#pragma once

#include <unlabel/augment/error.h>
#include <unlabel/ssl/planning/planner.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace unlabel::ssl {

nlohmann::json::json_pointer setting_pointer(std::string setting);

/// Throws UsageError for an optimizer that there is not (ssl/optim/optimizer.h), naming the nearest.
void require_optimizer(const std::string& kind);

/// A value as a setting's type; `setting` is for messages. Throws UsageError for a value of another type, and for a count of 2^31 or
/// more, so that products of two can be counted.
template <class T>
T setting_as(const nlohmann::json& value, const std::string& setting) {
  if constexpr (std::is_same_v<T, std::int64_t>) {
    constexpr auto most = std::numeric_limits<std::int32_t>::max();
    // get() would take any number, and has no bounds.
    if (!value.is_number_integer()) throw UsageError("'", setting, "' cannot be ", value.dump());
    const bool counts = value.is_number_unsigned() ? value.get<std::uint64_t>() <= std::uint64_t{most}
                                                   : value.get<T>() <= most && value.get<T>() >= -most;
    if (!counts) throw UsageError("--", setting, " cannot be ", value.dump(), ": the most is ", most);
    return value.get<T>();
  } else if constexpr (std::is_same_v<T, std::vector<std::int64_t>>) {
    if (!value.is_array()) throw UsageError("'", setting, "' cannot be ", value.dump());
    T values;
    for (const auto& item : value) values.push_back(setting_as<std::int64_t>(item, setting));
    return values;
  } else {
    try {
      return value.get<T>();
    } catch (const nlohmann::json::exception&) {
      throw UsageError("'", setting, "' cannot be ", value.dump());
    }
  }
}

/// A setting by its dotted name, as above; nullopt when there is none.
template <class T>
std::optional<T> find_setting(const nlohmann::json& settings, const std::string& setting) {
  const auto place = setting_pointer(setting);
  if (!settings.contains(place) || settings.at(place).is_null()) return std::nullopt;
  return setting_as<T>(settings.at(place), setting);
}

std::int64_t round_to(double value, std::int64_t step, std::int64_t least);

/// The value with two significant digits, as a person would write it (0.00013).
double round_to_2_digits(double value);

/// The facts of the architecture that the settings name.
EncoderFacts encoder_facts_in(const nlohmann::json& settings, const EncoderFactsOf& facts_of);

/// Collects choices; what was given comes first. The functions named after settings make the choices that all methods share.
class PlanBuilder {
 public:
  /// Throws UsageError for no images.
  explicit PlanBuilder(const PlanInput& input);

  template <class T>
  T choose(const std::string& setting, T value, const std::string& reason) {
    if (const auto fixed = find_setting<T>(input_.given, setting)) return *fixed;
    put(setting, value);
    plan_.choices.push_back({setting, value, reason});
    return value;
  }

  std::int64_t images() const { return input_.images; }
  /// Up to 64 pixels, where published recipes for CIFAR hold.
  bool small() const { return input_.median_short_side <= 64; }

  EncoderFacts encoder_facts() const { return encoder_facts_in(input_.given, input_.encoder_facts); }

  std::int64_t global_size();  ///< augment.global_size
  std::int64_t encoder();      ///< encoder.arch and, of a ResNet, encoder.stem; returns the dimensions of its features
  /// encoder.zero_init_residual of a ResNet.
  void zero_init_residual();
  std::int64_t batch_size();
  std::int64_t epochs();
  /// For small images: global crops of `least` of the area or more.
  void large_crops(double least = 0.2);
  /// For small images.
  void no_blur();
  /// SwAV's crops: two global ones and, of images above 64 pixels in runs that are not short, local ones, which keep the paper's ratio to
  /// the global ones, 96 to 224. Small images, and few updates, have views that have more in common than the paper's.
  void multi_crop(std::int64_t batch, std::int64_t epochs);
  /// SimCLR's two views. `scale` (of their area) and `jitter` (its strength beside SimCLR's) are the paper's; small images have their own.
  void two_views(std::vector<double> scale, double jitter);
  /// SwAV's rates: through the two published points of LARC, 0.6 at a batch of 256 and 4.8 at 4096, as a power of the batch (0.75;
  /// not the linear rule); batches from 1024 on warm up for 10 epochs from a sixteenth of it. It ends at a thousandth.
  void larc(std::int64_t batch, std::int64_t epochs);
  std::int64_t updates(std::int64_t batch, std::int64_t epochs) const;  ///< of the whole run
  /// Whether a run has fewer than 5000 updates. The shortest that was published with LARS or LARC has 12,500.
  bool few_updates(std::int64_t batch, std::int64_t epochs) const;
  /// Whether to train by SGD where LARS or LARC was published: with few updates, or where it is given.
  bool prefers_sgd(std::int64_t batch, std::int64_t epochs) const;
  /// SwAV's optimizer and DeepCluster-v2's: SGD where prefers_sgd, at 0.4 for a batch of 256, above 32 pixels at 0.2; else LARC.
  void larc_or_sgd(std::int64_t batch, std::int64_t epochs);
  /// SGD for short runs: `rate` for a batch of 256 in proportion, weight decay 5e-4, a cosine to 0. `published` is what it stands for.
  void sgd(std::int64_t batch, std::int64_t epochs, double rate, const std::string& published);
  /// The linear rule: what was published for a batch of 256, in proportion to the batch; returns optimizer.lr.
  double proportional_lr(double published, std::int64_t batch);
  /// One cluster for every 100 images, from 64 to the paper's 3000, never more than a quarter of the images; and why.
  std::pair<std::int64_t, std::string> clusters() const;
  static constexpr const char* kAsPublished = "as published with the method";
  /// The method's optimizer, or another one that is given, which needs its learning rate given too; returns its kind. `kinds` names those
  /// that have planned rates where there are several.
  std::string optimizer(const std::string& kind, const std::string& reason = kAsPublished,
                        const std::string& kinds = "");

  /// The plan with its warnings.
  Plan take();

 private:
  void put(const std::string& setting, const nlohmann::json& value);

  PlanInput input_;
  Plan plan_;
};

// The plans of the library's methods (methods/plan_METHOD.cpp), for methods.cpp.

MethodPlan byol_plan();
MethodPlan deepcluster_plan();
MethodPlan deepcluster_v2_plan();
MethodPlan moco_plan();
MethodPlan simclr_plan();
MethodPlan swav_plan();

}  // namespace unlabel::ssl
