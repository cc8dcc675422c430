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

/// Stores all tensors that training changes into checkpoints and loads them. Keeps references to its parts, which must outlive it.
struct TrainingState {
  ssl::Trainable& trainable;
  ssl::Optimizer& optimizer;
  LossScaler& scaler;

  /// Estimated size of a checkpoint in bytes. Uses per_sample_state_bytes() and does not call per_sample_state().
  std::int64_t bytes() const;

  /// A checkpoint of the state after `iteration` iterations. `per_sample_state` is the trainable's; `training` is what else to store
  /// (settings, data, counters). The checkpoint refers to the live tensors: pack() it before the next step.
  Checkpoint snapshot(std::int64_t iteration, const ssl::NamedTensors& per_sample_state,
                      nlohmann::json training = nlohmann::json::object()) const;

  /// Copies a checkpoint's tensors into the live ones. `source` names the checkpoint in messages. Throws Error when names or shapes do not
  /// match.
  void load(const Checkpoint& checkpoint, const std::string& source);

  /// Whether all floating-point parameters and buffers of the trainable are finite.
  bool finite() const;
};

}  // namespace unlabel::launch
