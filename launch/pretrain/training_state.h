#pragma once

#include <unlabel/data/dataset.h>
#include <unlabel/launch/checkpoint/checkpoint.h>
#include <unlabel/launch/pretrain/precision.h>
#include <unlabel/launch/pretrain/pretrain_options.h>
#include <unlabel/ssl/method.h>
#include <unlabel/ssl/optim/optimizer.h>
#include <unlabel/ssl/weights/weights.h>

#include <map>

namespace unlabel::launch {

/// All that changes while a run goes on, to and from checkpoints. Refers to its parts, which must outlive it.
struct TrainingState {
  ssl::Method& method;
  ssl::Optimizer& optimizer;
  LossScaler& scaler;
  const PretrainOptions& options;
  const data::Dataset& dataset;
  std::uint64_t fingerprint = 0;  ///< the data set's
  int world_size = 1;
  nlohmann::json arithmetic{};  ///< of every rank (arithmetic.h)

  /// Size of a checkpoint's tensors, with the method's per_sample_state(), which is not made for it.
  std::int64_t bytes() const;

  /// The state after `iteration` updates, with the method's per_sample_state(), and `health`, which is no tensor. Refers to the live
  /// tensors: pack it before the next step.
  Checkpoint snapshot(std::int64_t iteration, const ssl::NamedTensors& per_sample_state,
                      nlohmann::json health = {}) const;

  /// Where a run goes on.
  struct ResumeInfo {
    std::int64_t iteration = 0;        ///< 0: there was no checkpoint
    nlohmann::json health;             ///< as given to take; null when there was none
    nlohmann::json arithmetic;         ///< of the run before, as far as it is known
    int world_size = 0;                ///< of the run before
    std::vector<std::string> skipped;  ///< why newer checkpoints were passed over
  };

  /// Loads the newest checkpoint in `folder` that is whole. Throws MismatchError when it belongs to other data or other settings, naming
  /// what differs (of the data, when `file_list` is there, which data::write_file_list made), or when none of those there can be read.
  ResumeInfo resume(const std::string& folder, const std::string& file_list);

  /// Where the file at `path` is not the encoder of this state, to the last bit (but of a later step whose checkpoint is damaged, or a
  /// user's), it is renamed to encoder-N.safetensors beside it, with the first N that is free; returns that path. Empty when nothing was
  /// renamed.
  std::string move_other_encoder_aside(const std::string& path) const;

  /// Whether all weights, statistics and queues are finite.
  bool finite() const;
};

/// What evaluation needs to know of an encoder's input, for its file: size, mean, std, and how files were decoded.
std::map<std::string, std::string> encoder_metadata(const PretrainOptions& options);

}  // namespace unlabel::launch
