#pragma once

// The two c10d backends, each in its own source file (gloo.cpp, nccl.cpp), the only ones that include Gloo's or NCCL's headers. In a build
// without a backend its available() returns false and make_backend() throws UsageError; callers need no #ifdef.

#include <unlabel/launch/distributed/environment.h>

#include <c10/util/intrusive_ptr.h>

#include <chrono>

namespace c10d {
class Backend;
class Store;
}  // namespace c10d

namespace unlabel::launch::gloo {
bool available();
c10::intrusive_ptr<c10d::Backend> make_backend(c10::intrusive_ptr<c10d::Store> store, int rank, int size,
                                               const std::string& master_address, std::chrono::milliseconds timeout);
}  // namespace unlabel::launch::gloo

namespace unlabel::launch::nccl {
bool available();
c10::intrusive_ptr<c10d::Backend> make_backend(c10::intrusive_ptr<c10d::Store> store, int rank, int size,
                                               std::chrono::milliseconds timeout);
}  // namespace unlabel::launch::nccl
