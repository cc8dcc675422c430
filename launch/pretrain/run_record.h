#pragma once

#include <unlabel/data/dataset.h>
#include <unlabel/data/sample_transform.h>
#include <unlabel/launch/pretrain/pretrain_options.h>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <map>
#include <string>

namespace unlabel::launch {

/// What a run's checkpoints hold beside tensors: the settings, what identifies the data, and the arithmetic. Refers to its parts, which
/// must outlive it.
struct RunRecord {
  const PretrainOptions& options;
  const data::Dataset& dataset;
  const data::SampleTransform& transform;
  std::uint64_t fingerprint = 0;      ///< the data set's
  std::uint64_t frozen_checksum = 0;  ///< of Trainable::frozen_modules (ssl::frozen_checksum); 0: there are none
  int world_size = 1;
  nlohmann::json arithmetic{};  ///< of every rank (arithmetic.h)

  /// Checkpoint::training, with the state of the training monitor.
  nlohmann::json to_json(nlohmann::json monitor) const;

  /// Throws MismatchError when `saved`, the record of a checkpoint in `folder`, is of other data, other settings, other views or other
  /// frozen weights, with what differs; of the data by `file_list`, where that file is there (data::write_file_list).
  void require_same(const nlohmann::json& saved, const std::string& folder, const std::string& file_list) const;
};

/// What evaluation needs to know of an encoder's input, for its file: of images size, mean, std, and how files were decoded.
std::map<std::string, std::string> encoder_metadata(const PretrainOptions& options);

}  // namespace unlabel::launch
