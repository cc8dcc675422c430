#pragma once

#include <unlabel/data/io/files.h>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>

namespace unlabel::launch {

/// The folder of one pretraining run, held by one process (rank 0) at a time.
///
///     config.json           the resolved options, from which the run can be repeated
///     metrics.jsonl         one object an iteration
///     events.out.tfevents.* the same for TensorBoard
///     replaced.jsonl        broken samples and what took their place
///     nonfinite.jsonl       iterations that were left out because loss or gradients were not finite, with their samples
///     data_files.gz         names and sizes of the data's files (data/file_list.h)
///     checkpoints/          step-00001200/ ..., latest -> step-00001200
///     encoder.safetensors   the learned encoder, at the end
class RunFolder {
 public:
  /// Makes the folder, takes its lock, and removes the temporary files that a run which was killed has left. Throws UsageError when it or
  /// its checkpoints/ cannot be made or written, when its disk has fewer than `bytes_needed` free bytes, when another process holds it
  /// (naming it), and when it holds files of these names that are not a run's: what stands there is then as it was. `has_checkpoint`: one
  /// of this run is there.
  RunFolder(std::string path, std::int64_t bytes_needed, bool has_checkpoint = false);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

  /// What a person should know of it; empty: nothing. (Its file system may have no locks.)
  const std::string& warning() const { return warning_; }

  /// Throws Error when the folder has been removed or replaced since it was locked: it may be another run's now.
  void require_ours() const;

 private:
  void take_lock();
  [[noreturn]] void refuse_place(int error) const;
  void require_no_foreign_files(bool has_checkpoint) const;
  void require_place_for_checkpoints() const;
  void remove_temporaries() const;

  std::string path_, warning_;
  data::FileDescriptor lock_;
  bool made_lock_ = false;  ///< by this run: there was none
  bool new_lock_ = false;   ///< no run has been here before
};

/// Whether `path` leads to a file of a run (RunFolder, its lock) or into a checkpoint, there or to come, of the run in `run` or of one
/// whose folder says by its lock that it is.
bool is_file_of_run(const std::string& path, const std::string& run = "");

/// A JSON file of a run, as read_json_file reads it; UsageError for a pipe or a device of its name, which would be waited for.
nlohmann::json read_run_json(const std::string& path);

/// JSON lines that are appended one at a time, each whole and flushed to the system.
class JsonLines {
 public:
  /// Opens for appending. Throws Error when it cannot, or when it is no regular file.
  explicit JsonLines(std::string path);
  ~JsonLines();
  JsonLines(const JsonLines&) = delete;
  JsonLines& operator=(const JsonLines&) = delete;

  /// Appends a line. A write that fails (a full disk) returns false and leaves no part of the line.
  bool append(const nlohmann::json& object);

  /// Waits until what was appended is on the disk, as far as that can be had.
  void flush();

  /// Drops the lines from the first whose integer field `key` is at least `limit`, and an unfinished last line: what a run that stopped
  /// wrote after its checkpoint.
  static void cut(const std::string& path, const std::string& key, std::int64_t limit);

  /// The last whole line that is JSON; null when there is none (in the last 64 KiB).
  static nlohmann::json last(const std::string& path);

 private:
  std::string path_;
  int descriptor_ = -1;
};

}  // namespace unlabel::launch
