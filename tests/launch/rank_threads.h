#pragma once

#include <unlabel/launch/distributed/process_group.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

namespace unlabel::launch {

/// Off for these tests: c10d's flight recorder, of which a process has one, enters new process groups in a map before it takes its
/// lock (PyTorch 2.11, FlightRecorder::recordWithResetEnabled), so that ranks that are threads could tear it. A program has one rank.
inline const int without_flight_recorder = ::setenv("TORCH_FR_BUFFER_SIZE", "0", /*overwrite=*/1);

/// A TCP port that was free a moment ago.
inline int free_port() {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ::bind(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address);
  socklen_t size = sizeof address;
  ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(descriptor);
  return ntohs(address.sin_port);
}

inline Environment local_environment(int rank, int world_size, int port) {
  Environment environment;
  environment.rank = rank;
  environment.world_size = world_size;
  environment.master_address = "127.0.0.1";
  environment.master_port = port;
  return environment;
}

/// Runs `body` on `world_size` ranks joined by real Gloo, each a thread of this process. Rethrows the first rank's exception.
inline void run_gloo_ranks(int world_size, const std::function<void(std::shared_ptr<const ssl::Group>)>& body,
                           int timeout_seconds = 60) {
  const int port = free_port();
  std::vector<std::exception_ptr> errors(world_size);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < world_size; ++rank)
    threads.emplace_back([&, rank] {
      try {
        body(connect(local_environment(rank, world_size, port), c10::kCPU, {"gloo", timeout_seconds}));
      } catch (...) {
        errors[rank] = std::current_exception();
      }
    });
  for (auto& thread : threads) thread.join();
  for (const auto& error : errors)
    if (error) std::rethrow_exception(error);
}

}  // namespace unlabel::launch
