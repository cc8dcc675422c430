#pragma once

#include <unlabel/augment/error.h>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace unlabel::launch {

/// A checkpoint as bytes, so that it can be written while training goes on.
struct CheckpointFiles {
  std::int64_t iteration = 0;  ///< updates done
  std::vector<char> state;     ///< state.safetensors
  nlohmann::json training;     ///< training.json; `iteration` is added in the file
};

/// A checkpoint's file that is there and could not be read this time (permissions; IoError is of a disk that does not answer): no reason to
/// pass the checkpoint over.
class UnreadableCheckpoint : public Error {
 public:
  using Error::Error;
};

/// Which checkpoints stay.
struct Retention {
  int last = 2;            ///< the newest so many
  std::int64_t every = 0;  ///< and those of every so many iterations, for good; 0: none
};

/// Writes `folder`/step-00001200 (state.safetensors, training.json, manifest.json with sizes and CRC-32s): into a
/// temporary folder, each file flushed and read back, then renamed; then swaps `folder`/latest and removes those that
/// `keep` does not name, of those up to this one. A reader finds the old one or the new one whole, whenever the process
/// or the machine stops. Throws Error when it cannot be written (disk full); what was there stays.
void write_checkpoint_files(const std::string& folder, const CheckpointFiles& files, const Retention& keep);

/// Removes what a killed write has left in `folder`. Nobody may be writing there.
void remove_unfinished_checkpoints(const std::string& folder);

/// The iteration of the newest complete checkpoint in `folder`, or nullopt. Reads no tensors.
std::optional<std::int64_t> newest_checkpoint(const std::string& folder);

/// The options of the newest complete checkpoint in `folder`, or of the checkpoint that it is, as training.json has them; nullopt when
/// there is none. Reads no tensors. Throws UnreadableCheckpoint and IoError, and UsageError for what is the process's own (open files,
/// memory).
std::optional<nlohmann::json> checkpoint_options(const std::string& folder);

/// Renames the checkpoints of later steps than `resumed` to damaged-step-*: a run has passed them over, and will come to those steps again.
/// They stay to be looked at.
void quarantine_damaged(const std::string& folder, std::int64_t resumed);

/// The checkpoints in `folder`, newest first: iteration and path. Nothing in them is read. None when there is no such folder; throws Error
/// when it cannot be read, and UsageError when it is below a file.
std::vector<std::pair<std::int64_t, std::string>> list_checkpoints(const std::string& folder);

/// Whether `path` is the folder of one checkpoint, rather than one of several. Throws UnreadableCheckpoint and IoError when that
/// cannot be seen.
bool is_checkpoint(const std::string& path);

/// A manifest.json's files: what it says of each, {"bytes": ..., "crc32": ...}. `where` begins messages. Throws Error for a text that is no
/// manifest, and for another format than this program's.
nlohmann::json parse_manifest(std::string_view text, const std::string& where);

/// What a training.json holds: an object with `iteration`, at least 0. Throws Error for a text that is none.
nlohmann::json parse_training(std::string_view text, const std::string& where);

/// Adds to the options that an older program recorded those that came later and whose default is no longer what was done then: views of
/// `byol` had torchvision's crop. parse_training does it.
void add_later_options(nlohmann::json& options);

/// Throws Error when a pretraining run could not go on from `training`: something is missing, or of another type.
void check_training(const nlohmann::json& training, const std::string& where);

/// Checks one checkpoint's files against its manifest and gives what training.json holds. Throws Error that names what is damaged, and
/// UnreadableCheckpoint and IoError.
nlohmann::json verify_checkpoint(const std::string& path);

/// Why what `read` reads of a checkpoint is damaged: the message of its Error, empty without one. UnreadableCheckpoint, IoError and
/// UsageError (of the process: too many open files) are no damage, and go on.
std::string damage(const std::function<void()>& read);

/// Where a checkpoint's tensors are.
std::string state_file(const std::string& path);

}  // namespace unlabel::launch
