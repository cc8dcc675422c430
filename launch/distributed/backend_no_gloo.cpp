#include <unlabel/augment/error.h>
#include <unlabel/launch/distributed/backends.h>

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

namespace unlabel::launch::gloo {

bool available() { return false; }

c10::intrusive_ptr<c10d::Backend> make_backend(c10::intrusive_ptr<c10d::Store>, int, int, const std::string&,
                                               std::chrono::milliseconds) {
  throw UsageError("this build has no Gloo: install libgloo-dev and build again");
}

}  // namespace unlabel::launch::gloo
