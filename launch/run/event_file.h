#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace unlabel::launch {

/// A TensorBoard event file: records of the TFRecord format (length, masked CRC-32C of it, bytes, masked CRC-32C of those), each a
/// tensorflow.Event message. `tensorboard --logdir RUNS` shows all runs below a folder.
class EventFile {
 public:
  /// Makes a new `events.out.tfevents.*` in `folder`, which says that what older ones there hold from `first_step` on is void (a run that
  /// goes on from a checkpoint). Throws Error when it cannot.
  EventFile(const std::string& folder, std::int64_t first_step);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  /// Appends scalars of one step, under their names. False when they cannot be written (a full disk); then no part of them is.
  bool append(std::int64_t step, const std::vector<std::pair<std::string, double>>& scalars);

  /// Brings what was appended to the disk.
  void flush();

 private:
  int descriptor_ = -1;
};

/// CRC-32C (Castagnoli), as in RFC 3720, appendix B.4.
std::uint32_t crc32c(const std::string& bytes);

}  // namespace unlabel::launch
