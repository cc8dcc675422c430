#pragma once

#include <unlabel/launch/distributed/environment.h>
#include <unlabel/launch/distributed/process_group.h>
#include <unlabel/ssl/group.h>

#include <memory>
#include <string>

namespace unlabel::launch {

/// Keeps LibTorch's and OpenCV's own log lines off the terminal, errors excepted; our one line says what matters. For programs, not for
/// libraries; TORCH_CPP_LOG_LEVEL and OPENCV_LOG_LEVEL still bring them back.
void quiet_libraries();

/// "unlabel 0.1.0, LibTorch 2.11.0": what decides the figures that a program computes.
std::string program_version();

/// Joins the ranks that `environment` describes (connect), which all must run `command`, and this version of the program: what they agree
/// on before anything else. Throws MismatchError (93) on every rank where they do not.
std::shared_ptr<const ssl::Group> rendezvous(const Environment& environment, c10::Device device,
                                             const ConnectOptions& options, const std::string& command);

/// Sets how many threads LibTorch computes on, for the whole process: arithmetic_threads. For programs, not for libraries. Does nothing
/// while nobody knows how many ranks are on this machine.
void use_share_of_cores(const Environment& environment);

/// The same once ranks have met, by the number of ranks that may use the same cores, whatever a launcher told: those that it bound to cores
/// of their own share them with nobody. All ranks must call it together.
void use_share_of_cores(Environment& environment, const ssl::Group& group);

/// "unlabel 0.1.0 (LibTorch 2.11.0; backends: gloo, nccl; GPUs: 0)".
std::string version_text();

}  // namespace unlabel::launch
