#pragma once

#include <unlabel/data/dataset.h>
#include <unlabel/launch/checkpoint.h>
#include <unlabel/launch/precision.h>
#include <unlabel/launch/pretrain_options.h>
#include <unlabel/ssl/method.h>
#include <unlabel/ssl/optimizer.h>

#include <map>

namespace unlabel::launch {

/// All that changes while a run goes on, to and from checkpoints. Refers to its parts, which must outlive it.
struct TrainingState {
  ssl::Method& method;
  ssl::Optimizer& optimizer;
  LossScaler& scaler;
  const PretrainOptions& options;
  const data::Dataset& dataset;

  /// Size of a checkpoint's tensors.
  std::int64_t bytes() const;

  /// The state after `iteration` updates. Refers to the live tensors: write it before the next step.
  Checkpoint take(std::int64_t iteration) const;

  /// Loads the newest checkpoint in `folder` that is whole and returns its iteration; 0 when there is none. Those passed over are told in
  /// `skipped`, with reasons. Throws MismatchError when it belongs to other data or other settings, naming what differs.
  std::int64_t resume(const std::string& folder, std::vector<std::string>& skipped);

  /// Whether all weights, statistics and queues are finite.
  bool finite() const;
};

/// The options as config.json holds them.
nlohmann::json config_json(const PretrainOptions& options);

/// What evaluation needs to know of an encoder's input, for its file: size, mean, std, whether JPEGs were turned upright.
std::map<std::string, std::string> encoder_metadata(const PretrainOptions& options);

}  // namespace unlabel::launch
