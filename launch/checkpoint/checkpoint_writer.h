#pragma once

#include <unlabel/launch/checkpoint/checkpoint_files.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace unlabel::launch {

/// Writes checkpoints on a thread of its own, one at a time, so that training waits only while tensors are copied.
/// One thread at a time may call it.
class CheckpointWriter {
 public:
  /// `before_each` runs on the thread before each checkpoint is written: it brings to the disk what the checkpoint relies on.
  /// What it throws counts as a failed write.
  CheckpointWriter(std::string folder, const Retention& keep, std::function<void()> before_each = {});
  /// Waits for the write under way.
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  /// Waits until the write before has ended, lets `fill` put the next checkpoint in place (into memory that is used
  /// again and again), and begins to write it. What `fill` throws is thrown, and nothing is then written.
  void start(const std::function<void(CheckpointFiles&)>& fill);

  /// Waits until nothing is being written.
  void wait();
  /// The same for so long at most; false when it is still being written then.
  bool wait_for(std::chrono::milliseconds time);

  /// Why the last write that has ended failed; empty when it did not. Told once.
  std::string failure();

 private:
  void work();

  const std::string folder_;
  const Retention keep_;
  const std::function<void()> before_each_;
  std::mutex mutex_;  ///< guards what follows; but files_ are the thread's while busy_
  std::condition_variable changed_;
  CheckpointFiles files_;
  bool busy_ = false, stop_ = false;
  std::string failure_;
  std::thread thread_;
};

}  // namespace unlabel::launch
