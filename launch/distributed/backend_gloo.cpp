#include <unlabel/launch/distributed/backends.h>

#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

namespace unlabel::launch::gloo {

bool available() { return true; }

c10::intrusive_ptr<c10d::Backend> make_backend(c10::intrusive_ptr<c10d::Store> store, int rank, int size,
                                               const std::string& master_address, std::chrono::milliseconds timeout) {
  auto options = c10d::ProcessGroupGloo::Options::create(timeout);
  // All on one machine: use the loopback address, which works where the host's own name does not resolve.
  const bool loopback = master_address == "127.0.0.1" || master_address == "localhost" || master_address == "::1";
  options->devices.push_back(loopback ? c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1")
                                      : c10d::ProcessGroupGloo::createDefaultDevice());
  return c10::make_intrusive<c10d::ProcessGroupGloo>(std::move(store), rank, size, std::move(options));
}

}  // namespace unlabel::launch::gloo
