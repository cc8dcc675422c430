#include <unlabel/augment/exception_text.h>
#include <unlabel/launch/checkpoint/checkpoint_writer.h>

#include <pthread.h>

#include <csignal>
#include <exception>
#include <utility>

namespace unlabel::launch {

CheckpointWriter::CheckpointWriter(std::string folder, const Retention& keep, std::function<void()> before_each)
    : folder_(std::move(folder)), keep_(keep), before_each_(std::move(before_each)) {
  // A new thread inherits the signal mask: with all signals blocked here, only the main thread handles them.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  thread_ = std::thread([this] { work(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

CheckpointWriter::~CheckpointWriter() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void CheckpointWriter::start(const std::function<void(CheckpointFiles&)>& fill) {
  // After wait() the background thread is idle, so files_ may be changed without the lock.
  wait();
  fill(files_);
  {
    const std::lock_guard lock(mutex_);
    busy_ = true;
  }
  changed_.notify_all();
}

void CheckpointWriter::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !busy_; });
}

bool CheckpointWriter::wait_for(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, time, [&] { return !busy_; });
}

std::string CheckpointWriter::failure() {
  const std::lock_guard lock(mutex_);
  return std::exchange(failure_, {});
}

void CheckpointWriter::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return busy_ || stop_; });
    if (!busy_) return;  // a checkpoint that was started is written even if the destructor has been called
    // Write without the lock, so that wait_for() and failure() can be called meanwhile.
    lock.unlock();
    std::string failure;
    try {
      if (before_each_) before_each_();
      write_checkpoint_files(folder_, files_, keep_);
    } catch (const std::exception& error) {
      failure = exception_text(error);
    }
    lock.lock();
    failure_ = std::move(failure);
    busy_ = false;
    changed_.notify_all();
  }
}

}  // namespace unlabel::launch
