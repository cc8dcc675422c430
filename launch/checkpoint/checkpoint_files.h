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

/// A serialized checkpoint, which can be written while training continues.
struct CheckpointFiles {
  std::int64_t iteration = 0;  ///< number of iterations done
  std::vector<char> state;     ///< contents of state.safetensors
  nlohmann::json training;     ///< contents of training.json; write_checkpoint_files adds the field `iteration`
};

/// A checkpoint's file exists but could not be read, for example for lack of permission. (For a disk that does not answer it is IoError.)
/// The checkpoint may be intact, so it must not be skipped as damaged.
class UnreadableCheckpoint : public Error {
 public:
  using Error::Error;
};

/// Which checkpoints are kept.
struct Retention {
  int last = 2;            ///< keep the N newest
  std::int64_t every = 0;  ///< also keep those whose iteration is a multiple of N, permanently; 0: none
};

/// Writes `folder`/step-00001200 with state.safetensors, training.json, and manifest.json (sizes and CRC-32 of the other two). The files
/// are written to a temporary folder, flushed and read back; then the folder is renamed. Afterwards the link `folder`/latest is replaced,
/// and of the checkpoints up to this one those are deleted that `keep` does not cover. Whenever the process or the machine stops, a
/// reader finds a complete checkpoint, the previous one or this one. Throws Error when it cannot be written (disk full); existing
/// checkpoints are unchanged then.
void write_checkpoint_files(const std::string& folder, const CheckpointFiles& files, const Retention& keep);

/// Removes temporary files that a killed process left in `folder`. No process may be writing there.
void remove_unfinished_checkpoints(const std::string& folder);

/// The iteration of the newest checkpoint in `folder` that was written completely (it contains a manifest.json), or nullopt. Whether its
/// files were damaged later is not checked.
std::optional<std::int64_t> newest_checkpoint(const std::string& folder);

/// The options recorded in training.json of the newest checkpoint in `folder` whose training.json is valid, or of `folder` itself if it is
/// a checkpoint; nullopt when there is none. Reads no tensors. Throws UnreadableCheckpoint, IoError, and UsageError for limits of the
/// process (open files, memory).
std::optional<nlohmann::json> checkpoint_options(const std::string& folder);

/// Renames all checkpoints of steps after `resumed_step` to damaged-step-*. The resumed run found them damaged and will write checkpoints
/// of these steps again; the damaged ones are kept for inspection.
void quarantine_damaged(const std::string& folder, std::int64_t resumed_step);

/// Iteration and path of the checkpoints in `folder`, newest first, by their names only; empty when the folder does not exist. Throws Error
/// when the folder cannot be read, and UsageError when it, or a folder above it, is a file.
std::vector<std::pair<std::int64_t, std::string>> list_checkpoints(const std::string& folder);

/// Whether `path` is the folder of one checkpoint (it contains a manifest.json). Throws UnreadableCheckpoint and IoError when that cannot
/// be determined.
bool is_checkpoint(const std::string& path);

/// Parses a manifest.json: returns an object of {"bytes": ..., "crc32": ...} by file name. `where` begins messages. Throws Error for text
/// that is not a manifest, and for a format version that this program does not read.
nlohmann::json parse_manifest(std::string_view text, const std::string& where);

/// Parses a training.json: an object with `iteration`, at least 0. Throws Error for any other text.
nlohmann::json parse_training(std::string_view text, const std::string& where);

/// Adds options that older versions of the program did not have, if those versions did something else than today's default. At present
/// this is one: with the preset `byol`, augment.crop_family is set to torchvision, as those versions cropped. Called by parse_training.
void add_later_options(nlohmann::json& options);

/// Throws Error when a pretraining run cannot resume from `training`: a field is missing or has the wrong type.
void check_resumable(const nlohmann::json& training, const std::string& where);

/// Compares one checkpoint's files with its manifest and returns its parsed training.json. Throws Error that names the damaged file,
/// UnreadableCheckpoint, and IoError.
nlohmann::json verify_checkpoint(const std::string& path);

/// Calls `read`, which reads parts of a checkpoint, and returns the message of the Error that it throws; empty when it throws none.
/// UnreadableCheckpoint, IoError and UsageError (limits of the process: too many open files) do not mean damage and are rethrown.
std::string find_damage(const std::function<void()>& read);

/// The path of the file with the tensors of the checkpoint at `path`.
std::string state_file(const std::string& path);

}  // namespace unlabel::launch
