#include <unlabel/augment/error.h>
#include <unlabel/launch/distributed/backends.h>

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

namespace unlabel::launch::nccl {

bool available() { return false; }

c10::intrusive_ptr<c10d::Backend> make_backend(c10::intrusive_ptr<c10d::Store>, int, int, std::chrono::milliseconds) {
  throw UsageError("this build has no NCCL: build with a CUDA LibTorch (-DLIBTORCH_ROOT=)");
}

}  // namespace unlabel::launch::nccl
