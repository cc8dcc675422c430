#pragma once

#include <unlabel/launch/distributed/environment.h>
#include <unlabel/ssl/group.h>

#include <c10/core/Device.h>
#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <memory>
#include <string>

namespace c10d {
class ProcessGroup;
}

namespace unlabel::launch {

/// The device of this rank for a value of `--device`: "auto" (a GPU if there is one, else the CPU), "cpu", "cuda" or "cuda:N". If there are
/// several GPUs, "auto" and "cuda" select number Environment::local_rank. Throws UsageError when there is no such device, and when the
/// local rank is needed but unknown.
c10::Device choose_device(const std::string& wanted, const Environment& environment);

/// The backend for a value of `--backend`; "auto" selects "nccl" for a GPU and "gloo" for the CPU. Throws UsageError for a backend that
/// this build lacks or that cannot be used with the device.
std::string choose_backend(const std::string& wanted, c10::Device device);

/// The backends in this build: "gloo, nccl".
std::string built_backends();

struct ConnectOptions {
  std::string backend = "auto";  ///< auto, gloo or nccl
  /// How long a rank waits for its peers, in the rendezvous and, until set_timeout, in each collective.
  int timeout_seconds = 600;
};

/// Connects the processes that `environment` describes; every rank must call it. For a world size of one, returns single_process() and
/// opens no port. Throws UsageError for a timeout below 1 s and as choose_backend does, and Error when another rank does not connect in
/// time or the port is in use.
std::shared_ptr<const ssl::Group> connect(const Environment& environment, c10::Device device,
                                          const ConnectOptions& options = {});

/// How long collectives that begin from now on wait for a peer: of the group that connect() returned (of its cpu_group() too), and of the
/// subgroups that it has made. Of a world of one there are none.
void set_timeout(const ssl::Group& group, std::chrono::milliseconds timeout);

/// The number of ranks in the group, this one included, that may use the same cores: on the same machine, with the same CPU affinity, and,
/// if a CPU quota limits this rank, in the same container. Collective: every rank must call it.
int ranks_on_these_cores(const ssl::Group& group);

/// The c10d process group that `group` wraps, for DataParallel; null for a single process.
c10::intrusive_ptr<c10d::ProcessGroup> process_group_of(const ssl::Group& group);

}  // namespace unlabel::launch
