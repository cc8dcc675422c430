#pragma once

#include <unlabel/launch/checkpoint/checkpoint_files.h>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace at {
class Tensor;
}

namespace unlabel::launch {

/// All that a run needs to go on, the same on every rank (methods keep their state in global order), so that any world size can load it.
struct Checkpoint {
  std::int64_t iteration = 0;  ///< updates done
  std::vector<std::pair<std::string, at::Tensor>>
      tensors;              ///< "method.*": parameters and buffers; "optimizer.*": its state
  nlohmann::json training;  ///< the options, what identifies the data, and what else is no tensor
};

/// Copies a checkpoint into bytes, using the memory of `files` again. The tensors may change afterwards. Throws Error for two tensors of
/// one name.
void pack(const Checkpoint& checkpoint, CheckpointFiles& files);

/// Where an encoder's weights are: in a file, or in a checkpoint; both empty when there are none yet.
struct EncoderLocation {
  std::string file;         ///< of weights
  std::string checkpoints;  ///< one step-* folder, or a folder of them
};

/// `path` is a file of weights, a run folder, its folder of checkpoints or one of those; a finished run's file comes first.
EncoderLocation find_encoder(const std::string& path);

/// Throws Error when a run could not go on from a checkpoint's training.json: something is missing, or of another type.
using CheckTraining = std::function<void(const nlohmann::json& training, const std::string& where)>;

/// Reads a checkpoint and checks it against its manifest, and its training.json by `check` (empty: only `iteration` must be there). `path`
/// is one step-* folder, or a folder of them: then the newest one that is whole; those that are not go to `skipped`, with reasons. Throws
/// MismatchError when none of a folder can be read, Error when the one named cannot, and UnreadableCheckpoint when one could not be read
/// this time.
Checkpoint read_checkpoint(const std::string& path, std::vector<std::string>* skipped = nullptr,
                           const CheckTraining& check = check_training);

}  // namespace unlabel::launch
