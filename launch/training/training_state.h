#pragma once

#include <unlabel/launch/checkpoint/checkpoint.h>
#include <unlabel/launch/training/precision.h>
#include <unlabel/ssl/optim/optimizer.h>
#include <unlabel/ssl/trainable.h>
#include <unlabel/ssl/weights/weights.h>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>

namespace unlabel::launch {

/// All tensors that change in training, to and from checkpoints. Refers to its parts, which must outlive it.
struct TrainingState {
  ssl::Trainable& trainable;
  ssl::Optimizer& optimizer;
  LossScaler& scaler;

  /// Size of a checkpoint's tensors, with per_sample_state(), which is not called for it.
  std::int64_t bytes() const;

  /// The state after `iteration` updates, with the trainable's per_sample_state(), and `training`: what else the checkpoint is to hold
  /// (settings, data, counters). Refers to the live tensors: pack it before the next step.
  Checkpoint snapshot(std::int64_t iteration, const ssl::NamedTensors& per_sample_state,
                      nlohmann::json training = nlohmann::json::object()) const;

  /// Copies a checkpoint's tensors into the live ones. `source` names it in messages. Throws Error when names or shapes do not fit.
  void load(const Checkpoint& checkpoint, const std::string& source);

  /// Whether all weights, statistics and queues are finite.
  bool finite() const;
};

}  // namespace unlabel::launch
