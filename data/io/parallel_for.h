#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace unlabel::data {

/// Runs `make_worker()(i)` for i = 0, ..., count - 1 on `threads` threads, including the calling one. Each thread makes its own worker,
/// which may hold memory. When one throws, no further item is begun, and the last exception is rethrown.
template <class MakeWorker>
void parallel_for(std::size_t count, std::size_t threads, const MakeWorker& make_worker) {
  std::exception_ptr fault;
  std::mutex mutex;  // guards fault
  std::atomic<std::size_t> next = 0;
  const auto run = [&] {
    try {
      auto worker = make_worker();
      for (std::size_t i; (i = next++) < count;) worker(i);
    } catch (...) {
      next = count;
      const std::lock_guard lock(mutex);
      fault = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  try {
    for (std::size_t i = 1; i < std::min(threads, count); ++i) others.emplace_back(run);
  } catch (const std::system_error&) {  // no more threads can be started: go on with those that run
  }
  run();
  for (auto& thread : others) thread.join();
  if (fault) std::rethrow_exception(fault);
}

}  // namespace unlabel::data
