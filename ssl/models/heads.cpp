#include <unlabel/augment/error.h>
#include <unlabel/ssl/models/heads.h>

#include <torch/types.h>

#include <string>

namespace unlabel::ssl {

ProjectorImpl::ProjectorImpl(const ProjectorOptions& the_options) : options(the_options) {
  if (options.in < 1 || options.hidden < 0 || options.out < 1) {
    throw UsageError("a projector from ", options.in, " over ", options.hidden, " to ", options.out,
                     " dimensions cannot be built; sizes must be positive (hidden 0: no hidden layer)");
  }
  int position = 0;  // in the Sequential of the released code, where a ReLU has a position too
  const auto next = [&] { return std::to_string(position++); };
  auto inputs = options.in;
  if (options.hidden > 0) {
    first_ = register_module(next(), torch::nn::Linear(options.in, options.hidden));
    if (options.hidden_norm) hidden_norm_ = register_module(next(), BatchNorm(options.hidden));
    next();  // ReLU
    inputs = options.hidden;
  }
  last_ =
      register_module(next(), torch::nn::Linear(torch::nn::LinearOptions(inputs, options.out).bias(options.last_bias)));
  if (!options.last_norm) return;
  last_norm_ = register_module(next(), BatchNorm(options.out));
  last_norm_->bias.set_requires_grad(options.last_norm_bias);
}

at::Tensor ProjectorImpl::forward(const at::Tensor& features) {
  // The layers in the order of their numbers; absent ones are null.
  auto x = features;
  if (first_) {
    x = first_(x);
    if (hidden_norm_) x = hidden_norm_(x);
    x = x.relu_();
  }
  x = last_(x);
  return last_norm_ ? last_norm_(x) : x;
}

}  // namespace unlabel::ssl
