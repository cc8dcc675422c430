#pragma once

#include <unlabel/data/io/files.h>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>

namespace unlabel::launch {

/// The folder of one pretraining run, locked by one process (rank 0) at a time.
///
///     config.json           the resolved options, from which the run can be repeated
///     metrics.jsonl         one JSON object per iteration
///     events.out.tfevents.* the same for TensorBoard
///     replaced.jsonl        broken samples and the samples that replaced them
///     nonfinite.jsonl       iterations skipped because the loss or a gradient was not finite, with their sample indices
///     data_files.gz         names and sizes of the data set's files (data/file_list.h)
///     checkpoints/          step-00001200/ ..., latest -> step-00001200
///     encoder.safetensors   the trained encoder, written at the end
class RunFolder {
 public:
  /// Creates the folder, locks it, and removes temporary files that a killed run left behind. `has_checkpoint`: a checkpoint of this run
  /// exists. Throws UsageError, leaving existing files unchanged, when
  /// - the folder or its checkpoints/ cannot be created or written, or its disk has fewer than `bytes_needed` free bytes;
  /// - another process has locked the folder (the message names it);
  /// - the folder contains files of the names above that no run wrote.
  RunFolder(std::string path, std::int64_t bytes_needed, bool has_checkpoint = false);

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

  /// A warning for the user, for example that the file system has no locks; empty when there is none.
  const std::string& warning() const { return warning_; }

  /// Throws Error when the folder was removed or replaced after it was locked: another run may be using the path now.
  void require_ours() const;

 private:
  void take_lock();
  [[noreturn]] void refuse_place(int error) const;
  void require_no_foreign_files(bool has_checkpoint) const;
  void require_place_for_checkpoints() const;
  void remove_temporaries() const;

  std::string path_, warning_;
  /// Of .lock, which is never deleted: that would race with another run that is locking it.
  data::FileDescriptor lock_;
  bool made_lock_ = false;  ///< this process created the file .lock
  bool new_lock_ = false;   ///< .lock was empty or missing: no run used this folder before
};

/// Whether `path`, with links resolved, is a file of a run (those of RunFolder, and its lock) or inside a checkpoint. A folder belongs to
/// a run when it is `run` or contains a lock file that a run wrote. The files need not exist yet.
bool is_file_of_run(const std::string& path, const std::string& run = "");

/// Reads a JSON file of a run by read_json_file. Throws UsageError for a pipe or a device, which could block for ever.
nlohmann::json read_run_json(const std::string& path);

/// A JSON Lines file to which objects are appended, each by one write.
class JsonLines {
 public:
  /// Opens the file for appending. Throws Error when that fails or the path is not a regular file.
  explicit JsonLines(const std::string& path);

  /// Appends one line. Returns false when the write fails (disk full); then no part of the line is in the file.
  bool append(const nlohmann::json& object);

  /// Asks the system to write everything appended to the disk (fsync) and waits for it. Errors are ignored.
  void flush();

  /// Truncates the file to the lines that a resumed run keeps: removes all lines at the end whose integer field `key` is at least `limit`
  /// or missing, and an incomplete last line. These are of steps after the checkpoint.
  static void cut(const std::string& path, const std::string& key, std::int64_t limit);

  /// The last complete line that is valid JSON, among the last 64 KiB of the file; null when there is none.
  static nlohmann::json last(const std::string& path);

 private:
  data::FileDescriptor file_;
};

}  // namespace unlabel::launch
