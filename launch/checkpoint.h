#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <optional>
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
  nlohmann::json training;  ///< the options, and what identifies the data; `iteration` is added in the file
};

/// Writes `folder`/step-00001200 (state.safetensors, training.json, manifest.json with sizes and CRC-32s): into a
/// temporary folder, flushed, then renamed; then swaps `folder`/latest and removes all but the last `keep` up to this
/// one. A reader finds the old one or the new one whole. Throws Error when it cannot be written (disk full); what was
/// there stays.
void write_checkpoint(const std::string& folder, const Checkpoint& checkpoint, int keep);

/// Removes what a killed write_checkpoint has left in `folder`. Nobody may be writing there.
void remove_unfinished_checkpoints(const std::string& folder);

/// The iteration of the newest complete checkpoint in `folder`, or nullopt. Reads no tensors.
std::optional<std::int64_t> newest_checkpoint(const std::string& folder);

/// Reads a checkpoint and checks it against its manifest. `path` is one step-* folder, or a folder of them (then the newest one that is
/// whole; those passed over are told in `skipped`, with reasons). Throws MismatchError when none of a folder can be read,
/// Error when the one named cannot.
Checkpoint read_checkpoint(const std::string& path, std::vector<std::string>* skipped = nullptr);

}  // namespace unlabel::launch
