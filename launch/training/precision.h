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

/// What decides whether a device has native bf16 arithmetic.
struct DeviceFacts {
  bool gpu = false;
  bool gpu_bf16 = false;      ///< GPU: its compute capability is 8 or more
  std::string cpuinfo{};      ///< CPU: the contents of /proc/cpuinfo
  bool library_bf16 = false;  ///< CPU: the result of LibTorch's own check, which asks oneDNN
  std::string isa_limit{};    ///< CPU: ONEDNN_MAX_CPU_ISA, the instruction sets that oneDNN may use; empty: all
};
DeviceFacts device_facts(c10::Device device);

/// The precision that `--precision auto` selects.
struct PrecisionChoice {
  std::string precision;  ///< bf16 or float32
  std::string reason;
};

/// bf16 on a device with native bf16 arithmetic (a GPU of compute capability 8; a CPU with AVX512_BF16, AMX or Arm's bf16 that LibTorch
/// uses), else float32: without such instructions bf16 takes up to ten times as long as float32 on a CPU.
PrecisionChoice native_precision(const DeviceFacts& facts);

/// Throws UsageError unless `name` is "auto" or a name that Precision accepts.
void require_precision(const std::string& name);

/// One rank's precision: the one given by the user (`open` is false), or native_precision of its device (`open` is true).
struct PrecisionVote {
  bool open = false;  ///< the rank was given "auto"
  PrecisionChoice choice;
};

/// The precision for ranks with "auto": the one given explicitly on another rank; else bf16 when it is native on all ranks; else float32.
PrecisionChoice agreed_precision(const std::vector<PrecisionVote>& by_rank);

/// If `precision` is "auto", sets it to agreed_precision, which is the same on all ranks, and returns a line for the log with the reason;
/// else returns an empty string. Collective: every rank must call it.
std::string resolve_precision(const ssl::Group& group, c10::Device device, std::string& precision);

/// Time of a convolution in bf16 or fp16, forward and backward, divided by its time in float32. Measured when called, in some tenths of a
/// second.
double slowdown_of(const std::string& precision, c10::Device device);

/// A warning with slowdown_of when bf16 or fp16 is not native to the device and takes longer than float32; else empty.
std::string slow_precision_warning(const std::string& precision, c10::Device device);

/// Floating-point types of training: float32; bf16 and fp16 (by autocast: weights stay float32); float64 (everything, for exact tests).
class Precision {
 public:
  /// Throws UsageError for an unknown name.
  explicit Precision(const std::string& name);

  at::ScalarType weights() const { return weights_; }
  bool scales_loss() const { return autocast_ == at::kHalf; }

  /// The type that autocast uses in forward passes (ssl::Autocast); nullopt: no autocast.
  std::optional<at::ScalarType> autocast() const { return autocast_; }

 private:
  at::ScalarType weights_ = at::kFloat;
  std::optional<at::ScalarType> autocast_;
};

/// Dynamic loss scaling for fp16, so that small gradients do not underflow (Micikevicius et al. 2018, arXiv:1710.03740, section 3.2): the
/// scale doubles after 2,000 consecutive finite steps and halves after a step whose gradients overflow, which is skipped. The scale is
/// the same on every rank, because the gradients are.
class LossScaler {
 public:
  explicit LossScaler(bool enabled, c10::Device device);
  bool enabled() const { return enabled_; }

  /// The current scale: a float32 tensor of shape {1} on the device.
  const at::Tensor& factor() const { return scale_; }

  /// loss * scale; the loss itself when not enabled.
  at::Tensor scale(const at::Tensor& loss) const;

  /// Divides the gradients by the scale in place, then updates the scale. Returns whether all gradients are finite, as a bool scalar on
  /// their device; if not, the step must be skipped. Without scaling it only checks them.
  at::Tensor unscale(const std::vector<at::Tensor>& parameters);

  std::vector<std::pair<std::string, at::Tensor>> state() const;
  void load_state(const std::vector<std::pair<std::string, at::Tensor>>& state);

 private:
  bool enabled_;
  at::Tensor scale_, growth_tracker_;
};

}  // namespace unlabel::launch
