#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

namespace torch::nn {
class Module;
}

namespace unlabel::ssl {

/// Moves all parameters and buffers to `device`, in place: torch::nn::Module::to, which in LibTorch 2.11 cannot take devices that come from
/// outside of LibTorch (PrivateUse1). Call it before anything was differentiated and before the optimizer takes the parameters.
void move_to(torch::nn::Module& module, c10::Device device);

/// Converts the parameters and buffers that hold floating point numbers, and only those, in place:
/// torch::nn::Module::to(dtype) would turn `num_batches_tracked` into a float as well. Strides are kept. Call it before
/// the optimizer takes the parameters. For float32 and float64; throws UsageError for others, since 16-bit training is
/// had by autocast over float32 weights.
void to_float_dtype(torch::nn::Module& module, c10::ScalarType dtype);

/// Lays the weights of all convolutions out as channels_last, in place. Convolutions then produce channels_last
/// activations whatever the layout of the images, and are about 1.5 times as fast on CPUs, and faster on GPUs with
/// 16-bit types.
void to_channels_last(torch::nn::Module& module);

}  // namespace unlabel::ssl
