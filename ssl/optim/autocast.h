#pragma once

#include <c10/core/Device.h>
#include <c10/core/DeviceType.h>
#include <c10/core/ScalarType.h>

#include <optional>
#include <string>

namespace torch::nn {
class Module;
}

namespace unlabel::ssl {

/// The type to which autocast converts forward passes: kBFloat16 for "bf16", kHalf for "fp16", nullopt (no autocast) for "float32". Throws
/// UsageError for any other name.
std::optional<c10::ScalarType> autocast_type(const std::string& precision);

/// Sets autocast of `device` to `type` (nullopt: off) for the lifetime of this object. The destructor restores the previous setting and
/// clears the cache of 16-bit copies of weights, which are out of date after an update.
class Autocast {
 public:
  Autocast(c10::DeviceType device, std::optional<c10::ScalarType> type);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  c10::DeviceType device_;
  bool enabled_before_;
  c10::ScalarType type_before_;
};

/// Moves all parameters and buffers to `device`, in place. Like torch::nn::Module::to, and works also for out-of-tree devices
/// (PrivateUse1), for which that function fails in LibTorch 2.11. Call it before the first backward pass and before the optimizer is
/// constructed.
void move_to(torch::nn::Module& module, c10::Device device);

/// Converts floating-point parameters and buffers to `dtype`, in place, and keeps their strides. (torch::nn::Module::to(dtype) would
/// convert the integer `num_batches_tracked` too.) Call it before the optimizer is constructed. Throws UsageError unless `dtype` is float32
/// or float64: 16-bit training uses autocast with float32 weights.
void to_float_dtype(torch::nn::Module& module, c10::ScalarType dtype);

/// Converts the weights of all convolutions to the memory format channels_last, in place. Convolutions then produce channels_last
/// activations for images of any memory format. They are about 1.5 times as fast on CPUs, and faster on GPUs with 16-bit types.
void to_channels_last(torch::nn::Module& module);

}  // namespace unlabel::ssl
