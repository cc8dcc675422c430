#pragma once

#include <unlabel/launch/run/event_file.h>
#include <unlabel/launch/run/run_folder.h>

#include <nlohmann/json.hpp>

#include <cstdint>

namespace unlabel::launch {

/// What a run tells of itself while it goes on, in its folder: metrics.jsonl and TensorBoard's events (a step each), replaced.jsonl and
/// nonfinite.jsonl. When one cannot be written, the run goes on.
class RunLog {
 public:
  /// Goes on from `iteration`: what the files say of later steps is dropped. Throws Error when they cannot be opened.
  RunLog(const RunFolder& folder, std::int64_t iteration);

  /// A step's line: numbers by name, with `step`. False when it could not be written.
  bool step(const nlohmann::json& line);
  bool replaced(const nlohmann::json& object) { return replaced_.append(object); }
  bool nonfinite(const nlohmann::json& object) { return nonfinite_.append(object); }

  /// Brings all that was written to the disk: before a checkpoint says that these steps are done.
  void flush();

 private:
  JsonLines metrics_, replaced_, nonfinite_;
  EventFile events_;
};

}  // namespace unlabel::launch
