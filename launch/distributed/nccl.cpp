#include <unlabel/augment/error.h>
#include <unlabel/launch/distributed/backends.h>

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>
#ifdef USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

namespace unlabel::launch::nccl {

#ifdef USE_C10D_NCCL

bool available() { return true; }

c10::intrusive_ptr<c10d::Backend> make_backend(c10::intrusive_ptr<c10d::Store> store, int rank, int size,
                                               std::chrono::milliseconds timeout) {
  auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = timeout;
  return c10::make_intrusive<c10d::ProcessGroupNCCL>(std::move(store), rank, size, std::move(options));
}

#else

bool available() { return false; }

c10::intrusive_ptr<c10d::Backend> make_backend(c10::intrusive_ptr<c10d::Store>, int, int, std::chrono::milliseconds) {
  throw UsageError("this build has no NCCL: build with a CUDA LibTorch (-DLIBTORCH_ROOT=)");
}

#endif

}  // namespace unlabel::launch::nccl
