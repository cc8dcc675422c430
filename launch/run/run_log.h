#pragma once

#include <unlabel/launch/run/event_file.h>
#include <unlabel/launch/run/run_folder.h>

#include <nlohmann/json.hpp>

#include <cstdint>

namespace unlabel::launch {

/// The log files in a run's folder: metrics.jsonl and the TensorBoard events (one entry per step), replaced.jsonl and nonfinite.jsonl.
/// A failed write does not stop the run.
class RunLog {
 public:
  /// Opens the files to log from step `iteration` on; entries of that and of later steps, from before a resume, are removed. Throws Error
  /// when the files cannot be opened.
  RunLog(const RunFolder& folder, std::int64_t iteration);

  /// Logs one step: an object of named values, which must contain `step`; TensorBoard gets those that are numbers. Returns false when it
  /// could not be written.
  bool step(const nlohmann::json& line);
  bool replaced(const nlohmann::json& object) { return replaced_.append(object); }
  bool nonfinite(const nlohmann::json& object) { return nonfinite_.append(object); }

  /// Waits until everything logged is on the disk. To be called before a checkpoint is written, so that no checkpoint is ahead of the log.
  void flush();

 private:
  JsonLines metrics_, replaced_, nonfinite_;
  EventFile events_;
};

}  // namespace unlabel::launch
