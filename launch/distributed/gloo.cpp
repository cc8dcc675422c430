#include <unlabel/augment/error.h>
#include <unlabel/launch/distributed/backends.h>

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>
#ifdef USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#endif

namespace unlabel::launch::gloo {

#ifdef USE_C10D_GLOO

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

#else

bool available() { return false; }

c10::intrusive_ptr<c10d::Backend> make_backend(c10::intrusive_ptr<c10d::Store>, int, int, const std::string&,
                                               std::chrono::milliseconds) {
  throw UsageError("this build has no Gloo: install libgloo-dev and build again");
}

#endif

}  // namespace unlabel::launch::gloo
