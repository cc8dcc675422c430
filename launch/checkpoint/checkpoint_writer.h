#pragma once

#include <unlabel/launch/checkpoint/checkpoint_files.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace unlabel::launch {

/// Writes checkpoints on a background thread, one at a time, so that training waits only while tensors are copied. Its functions may be
/// called by one thread at a time.
class CheckpointWriter {
 public:
  /// `before_each` runs on the background thread before each checkpoint is written, for example to flush the log up to that step. An
  /// exception that it throws counts as a failed write.
  CheckpointWriter(std::string folder, const Retention& keep, std::function<void()> before_each = {});
  /// Waits for a write in progress.
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  /// Waits for the previous write, calls `fill` to serialize the next checkpoint (into memory that is reused), and starts writing it in
  /// the background. An exception of `fill` is passed on, and nothing is written then.
  void start(const std::function<void(CheckpointFiles&)>& fill);

  /// Waits until no write is in progress.
  void wait();
  /// The same, for at most `time`; returns false when a write is still in progress then.
  bool wait_for(std::chrono::milliseconds time);

  /// Why the last completed write failed; empty when it succeeded. Each failure is returned once.
  std::string failure();

 private:
  void work();

  const std::string folder_;
  const Retention keep_;
  const std::function<void()> before_each_;
  std::mutex mutex_;  ///< guards the members below; while busy_ is set, files_ belongs to the background thread alone
  std::condition_variable changed_;
  CheckpointFiles files_;
  bool busy_ = false, stop_ = false;
  std::string failure_;
  std::thread thread_;
};

}  // namespace unlabel::launch
