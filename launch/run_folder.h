#pragma once

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
  /// Makes the folder and takes its lock. Throws UsageError when it cannot be made or written, when its disk has fewer than `bytes_needed`
  /// free bytes, or when another process holds it (naming it).
  RunFolder(std::string path, std::int64_t bytes_needed);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
  int lock_ = -1;
};

/// JSON lines that are appended one at a time, each whole and flushed to the system.
class JsonLines {
 public:
  /// Opens for appending. Throws Error when it cannot.
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
