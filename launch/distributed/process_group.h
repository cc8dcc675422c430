#pragma once

#include <unlabel/launch/distributed/environment.h>
#include <unlabel/ssl/group.h>

#include <c10/core/Device.h>
#include <c10/util/intrusive_ptr.h>

#include <memory>
#include <string>

namespace c10d {
class ProcessGroup;
}

namespace unlabel::launch {

/// The device that this rank computes on, from `--device`: "auto" (the GPU of Environment::local_rank when there is one, else the CPU),
/// "cpu", "cuda" or "cuda:N". Throws UsageError when there is no such device, or several and no local rank that says which.
c10::Device choose_device(const std::string& wanted, const Environment& environment);

/// "nccl" for a GPU, "gloo" for the CPU, by `--backend auto`. Throws UsageError for one that is asked for and that this build lacks, or
/// that does not fit.
std::string choose_backend(const std::string& wanted, c10::Device device);

/// Backends that this build holds: "gloo, nccl".
std::string built_backends();

struct ConnectOptions {
  std::string backend = "auto";  ///< auto, gloo or nccl
  int timeout_seconds = 600;     ///< how long a rank waits for its peers, in the rendezvous and in each collective
};

/// Joins the processes that `environment` describes; every rank calls it. A world of one is single_process() and opens no port.
/// Throws UsageError for a time limit below a second and for what `--backend` cannot do, and Error when a peer does not come in time or
/// the port is taken.
std::shared_ptr<const ssl::Group> connect(const Environment& environment, c10::Device device,
                                          const ConnectOptions& options = {});

/// How many of the group's ranks may use the cores that this one may: on one machine, bound to the same cores, and, where a quota limits
/// this one, in the same container. Every rank must call it.
int ranks_on_these_cores(const ssl::Group& group);

/// The c10d group behind `group`, for DataParallel; null for a world of one.
c10::intrusive_ptr<c10d::ProcessGroup> process_group_of(const ssl::Group& group);

}  // namespace unlabel::launch
