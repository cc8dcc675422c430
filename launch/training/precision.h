#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace unlabel::ssl {
class Group;
}

namespace unlabel::launch {

/// What decides whether a device multiplies bf16 by itself.
struct DeviceFacts {
  bool gpu = false;
  bool gpu_bf16 = false;      ///< of a GPU: its compute capability is 8 or more
  std::string cpuinfo{};      ///< of processors: /proc/cpuinfo
  bool library_bf16 = false;  ///< of processors: LibTorch's own check, which asks oneDNN
  std::string isa_limit{};  ///< of processors: ONEDNN_MAX_CPU_ISA, the instruction sets that oneDNN may use; empty: all
};
DeviceFacts facts_of(c10::Device device);

/// What `--precision auto` comes to.
struct PrecisionChoice {
  std::string precision;  ///< bf16 or float32
  std::string reason;
};

/// bf16 on a device that multiplies it by itself (a GPU of compute capability 8; a processor with AVX512_BF16, AMX or Arm's bf16 that
/// LibTorch uses), else float32: without such instructions bf16 takes up to ten times as long as float32 on a processor.
PrecisionChoice native_precision(const DeviceFacts& facts);

/// Throws UsageError for a name that is neither "auto" nor a Precision's.
void require_precision(const std::string& name);

/// A rank's precision: what it was given (`open` false), or what its own device would take.
struct PrecisionVote {
  bool open = false;  ///< it was given "auto"
  PrecisionChoice choice;
};

/// What ranks with "auto" take: the precision that is given on another rank; else bf16 when all ranks would take it; else float32.
PrecisionChoice agreed_precision(const std::vector<PrecisionVote>& by_rank);

/// Where `precision` is "auto", sets it to agreed_precision, the same on all ranks. Returns a line that says so with the reason; empty
/// when it was not "auto". Every rank must call it.
std::string resolve_precision(const ssl::Group& group, c10::Device device, std::string& precision);

/// How many times as long as in float32 a convolution takes in bf16 or fp16, forward and backward: timed here, some tenths of a second.
double slowdown_of(const std::string& precision, c10::Device device);

/// A warning with the factor where bf16 or fp16 is not native to the device and takes longer than float32; else empty.
std::string slow_precision_warning(const std::string& precision, c10::Device device);

/// How numbers are held in training: float32; bf16 and fp16 (autocast: weights stay float32); float64 (everything, for exact tests).
class Precision {
 public:
  /// Throws UsageError for an unknown name.
  explicit Precision(const std::string& name);

  at::ScalarType weights() const { return weights_; }
  bool scales_loss() const { return autocast_ == at::kHalf; }

  /// The type that forward passes take under autocast (ssl::Autocast); none: the weights' own.
  std::optional<at::ScalarType> autocast() const { return autocast_; }

 private:
  at::ScalarType weights_ = at::kFloat;
  std::optional<at::ScalarType> autocast_;
};

/// Loss scaling for fp16, so that small gradients do not vanish (Micikevicius et al. 2018, arXiv:1710.03740, section
/// 3.2): the scale doubles after 2000 good steps and halves after one whose gradients overflow, which is left out. The
/// same on every rank, since gradients are.
class LossScaler {
 public:
  explicit LossScaler(bool enabled, c10::Device device);
  bool enabled() const { return enabled_; }

  /// The scale in use: one number on the device.
  const at::Tensor& factor() const { return scale_; }

  /// loss * scale; the loss itself when not enabled.
  at::Tensor scale(const at::Tensor& loss) const;

  /// Divides the gradients by the scale, in place, and moves the scale. Returns whether all of them are finite (with or without
  /// scaling), a bool scalar on their device; if not, the step must be left out.
  at::Tensor unscale(const std::vector<at::Tensor>& parameters);

  std::vector<std::pair<std::string, at::Tensor>> state() const;
  void load_state(const std::vector<std::pair<std::string, at::Tensor>>& state);

 private:
  bool enabled_;
  at::Tensor scale_, growth_tracker_;
};

}  // namespace unlabel::launch
