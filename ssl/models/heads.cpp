#include <unlabel/augment/error.h>
#include <unlabel/ssl/models/heads.h>

#include <torch/types.h>

namespace unlabel::ssl {

ProjectorImpl::ProjectorImpl(const ProjectorOptions& the_options) : options(the_options) {
  if (options.in < 1 || options.hidden < 0 || options.out < 1) {
    throw UsageError("a projector from ", options.in, " over ", options.hidden, " to ", options.out,
                     " dimensions cannot be built; sizes must be positive (hidden 0: no hidden layer)");
  }
  const bool hidden = options.hidden > 0;
  if (hidden) {
    first_ = register_module("0", torch::nn::Linear(options.in, options.hidden));
    hidden_norm_ = register_module("1", BatchNorm(options.hidden));
  }
  last_ = register_module(
      hidden ? "3" : "0",
      torch::nn::Linear(
          torch::nn::LinearOptions(hidden ? options.hidden : options.in, options.out).bias(options.last_bias)));
  if (options.last_norm) last_norm_ = register_module(hidden ? "4" : "1", BatchNorm(options.out));
}

at::Tensor ProjectorImpl::forward(const at::Tensor& features) {
  auto x = first_ ? hidden_norm_(first_(features)).relu_() : features;
  x = last_(x);
  return last_norm_ ? last_norm_(x) : x;
}

}  // namespace unlabel::ssl
