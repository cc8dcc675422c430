#pragma once

#include <unlabel/launch/distributed/environment.h>
#include <unlabel/launch/distributed/process_group.h>
#include <unlabel/ssl/group.h>

#include <memory>
#include <string>

namespace unlabel::launch {

/// Disables the log messages of LibTorch (except errors) and of OpenCV; this program reports errors itself, in one line. The environment
/// variables TORCH_CPP_LOG_LEVEL and OPENCV_LOG_LEVEL take precedence. For programs only: it changes global settings.
void quiet_libraries();

/// The versions that determine numerical results: "unlabel 0.1.0, LibTorch 2.11.0".
std::string program_version();

/// Connects the ranks that `environment` describes (connect()) and checks, before anything else, that all of them run `command` and this
/// version of the program. Throws MismatchError (exit code 93) on every rank when they do not.
std::shared_ptr<const ssl::Group> rendezvous(const Environment& environment, c10::Device device,
                                             const ConnectOptions& options, const std::string& command);

/// Sets the number of threads that LibTorch computes on in this process to arithmetic_threads(). Does nothing while
/// environment.local_world_size is unknown. For programs only: it changes a global setting.
void use_share_of_cores(const Environment& environment);

/// The same after the rendezvous: first replaces environment.local_world_size by the number of ranks that may use the same cores as this
/// one (ranks_on_these_cores), since a launcher may have bound ranks to separate cores. Collective: all ranks must call it.
void use_share_of_cores(Environment& environment, const ssl::Group& group);

/// The text for --version: "unlabel 0.1.0 (LibTorch 2.11.0; backends: gloo, nccl; GPUs: 0)".
std::string version_text();

}  // namespace unlabel::launch
