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

/// Everything a run needs to resume. It is equal on every rank, because methods keep their state in global order, so that a run with any
/// world size can load it.
struct Checkpoint {
  std::int64_t iteration = 0;  ///< number of iterations done
  std::vector<std::pair<std::string, at::Tensor>>
      tensors;  ///< "method.*": parameters and buffers; "optimizer.*": its state
  nlohmann::json
      training;  ///< everything that is not a tensor: options, what identifies the data, state of the monitor
};

/// Serializes a checkpoint into `files`, whose memory is reused. The tensors may change afterwards. Throws Error for duplicate names.
void pack(const Checkpoint& checkpoint, CheckpointFiles& files);

/// Where an encoder's weights are: in a file or in a checkpoint. Both are empty when there are no weights yet.
struct EncoderLocation {
  std::string file;         ///< a file of weights
  std::string checkpoints;  ///< one step-* folder, or a folder that contains them
};

/// Finds the weights at `path`: a file of weights, a run folder, its folder checkpoints/, or one checkpoint. In a run folder
/// encoder.safetensors is preferred to the checkpoints.
EncoderLocation find_encoder(const std::string& path);

/// Throws Error when a run cannot resume from the contents of a training.json: a field is missing or has the wrong type. `where` is the
/// file's path, for messages.
using CheckResumable = std::function<void(const nlohmann::json& training, const std::string& where)>;

/// Reads a checkpoint, compares its files with the manifest, and validates training.json by `check` (empty: only `iteration` is required).
/// `path` is one step-* folder, or a folder of them, of which the newest intact one is read; why newer ones are damaged is appended to
/// `skipped`. Throws MismatchError when no checkpoint of a folder is intact, Error when the one named by `path` is damaged, and
/// UnreadableCheckpoint or IoError when a file could not be read for another reason.
Checkpoint read_checkpoint(const std::string& path, std::vector<std::string>* skipped = nullptr,
                           const CheckResumable& check = check_resumable);

}  // namespace unlabel::launch
