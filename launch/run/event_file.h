#pragma once

#include <unlabel/data/io/files.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace unlabel::launch {

/// A TensorBoard event file: TFRecord records (length, masked CRC-32C of the length, bytes, masked CRC-32C of the bytes), each one
/// tensorflow.Event message. `tensorboard --logdir RUNS` shows all runs below the folder RUNS.
class EventFile {
 public:
  /// Creates a new `events.out.tfevents.*` in `folder`. It begins with a session start at `first_step`, by which TensorBoard discards the
  /// events of older files from that step on (of a run that resumes from a checkpoint). Throws Error when the file cannot be created.
  EventFile(const std::string& folder, std::int64_t first_step);

  /// Appends named scalars of one step. Returns false when they cannot be written (disk full); then none of them is in the file.
  bool append(std::int64_t step, const std::vector<std::pair<std::string, double>>& scalars);

  /// Waits until everything appended is on the disk (fsync).
  void flush();

 private:
  data::FileDescriptor file_;
};

/// CRC-32C (Castagnoli), as in RFC 3720, appendix B.4.
std::uint32_t crc32c(const std::string& bytes);

}  // namespace unlabel::launch
