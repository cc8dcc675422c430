#include <unlabel/augment/error.h>
#include <unlabel/ssl/layers/batch_norm.h>
#include <unlabel/ssl/layers/gather.h>

#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include <ostream>
#include <tuple>

namespace unlabel::ssl {
namespace {

// Statistics are taken in at least float32.
at::ScalarType statistics_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// `values` (C) as 1 x C x 1 ..., which broadcasts over n x C x ...
at::Tensor per_channel(const at::Tensor& values, const at::Tensor& x) {
  std::vector<std::int64_t> shape(x.dim(), 1);
  shape[1] = values.size(0);
  return values.view(shape);
}

void check_count(double count, std::int64_t features) {
  if (count > 1) return;
  throw UsageError("BatchNorm over ", features,
                   " channels got one value per channel, which has no variance; use a larger batch");
}

struct Statistics {
  at::Tensor mean, inverse_deviation;  // C each; inverse_deviation = 1 / sqrt(variance + eps)
  double count;                        // values of each channel, over all ranks
};

// Statistics of the batch of all ranks of the layer's group; also updates the running statistics.
Statistics gather_statistics(const at::Tensor& x, const BatchNormImpl& layer) {
  const auto type = statistics_type(x);
  const double local_count = static_cast<double>(x.numel() / x.size(1));
  const double count = local_count * layer.group->world_size();
  check_count(count, layer.features);
  const double momentum = layer.options.momentum, eps = layer.options.eps;

  // GPU: the kernels of PyTorch's SyncBatchNorm, the second of which updates the running statistics too.
  if (x.is_cuda()) {
    const auto [mean, inverse_deviation] = at::batch_norm_stats(x, eps);
    const auto all = layer.group->all_gather(at::stack({mean, inverse_deviation}).unsqueeze(0));
    const auto counts = at::full({all.size(0)}, local_count, mean.options());
    auto [global_mean, global_inverse_deviation] =
        at::batch_norm_gather_stats_with_counts(x, all.select(1, 0).contiguous(), all.select(1, 1).contiguous(),
                                                layer.running_mean, layer.running_var, momentum, eps, counts);
    return {global_mean, global_inverse_deviation, count};
  }

  // CPU: Chan et al., eq. 2.1, for parts of equal size, in float64, which costs nothing for a few numbers per channel:
  // mean = mean_r(mean_r), var = mean_r(var_r) + mean_r((mean_r - mean)^2), with the mean over ranks r.
  const auto [mean, variance] = at::batch_norm_update_stats(x.to(type), {}, {}, momentum);
  const auto all = layer.group->all_gather(at::stack({mean, variance}).to(at::kDouble).unsqueeze(0));
  const auto means = all.select(1, 0);
  const auto global_mean = means.mean(0);
  const auto global_variance = all.select(1, 1).mean(0) + (means - global_mean).square().mean(0);

  // As in PyTorch, the running variance is the unbiased one.
  auto running_mean = layer.running_mean, running_var = layer.running_var;
  running_mean.lerp_(global_mean.to(running_mean.scalar_type()), momentum);
  running_var.lerp_((global_variance * (count / (count - 1))).to(running_var.scalar_type()), momentum);
  return {global_mean.to(type), (global_variance + eps).rsqrt().to(type), count};
}

// With xhat = (x - mean) * s, s = 1 / sqrt(var + eps) and N values of each channel over all ranks:
//     y  = weight * xhat + bias
//     dx = weight * s * (dy - sum(dy) / N - xhat * sum(dy * xhat) / N),   sums over all ranks
struct SynchronizedBatchNorm : torch::autograd::Function<SynchronizedBatchNorm> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& weight, const at::Tensor& bias, const BatchNormImpl* layer) {
    const auto x = input.contiguous(input.suggest_memory_format());
    const auto [mean, s, count] = gather_statistics(x, *layer);
    context->save_for_backward({x, weight, mean, s});
    context->saved_data["group"] = group_to_ivalue(layer->group);
    context->saved_data["count"] = count;
    if (x.is_cuda()) return at::batch_norm_elemt(x, weight, bias, mean, s, layer->options.eps);
    const auto scale = weight * s;
    return at::addcmul(per_channel(bias - mean * scale, x), x.to(mean.scalar_type()), per_channel(scale, x))
        .to(x.scalar_type());
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    if (at::GradMode::is_enabled()) throw Error("BatchNorm over several ranks has no second derivatives");
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &mean = saved[2], &s = saved[3];
    const double count = context->saved_data["count"].toDouble();
    const auto group = group_from_ivalue(context->saved_data["group"]);
    const auto dy = gradients[0].contiguous(x.suggest_memory_format());

    if (x.is_cuda()) {
      auto [sum_dy, sum_dy_xmu, dweight, dbias] =
          at::batch_norm_backward_reduce(dy, x, mean, s, weight, true, true, true);
      auto sums = at::stack({sum_dy, sum_dy_xmu});
      group->all_reduce_sum(sums);
      const auto counts = at::full({1}, static_cast<std::int64_t>(count), x.options().dtype(at::kInt));
      return {at::batch_norm_backward_elemt(dy, x, mean, s, weight, sums[0], sums[1], counts), dweight, dbias, {}};
    }

    const auto wide_dy = dy.to(mean.scalar_type());
    const auto xhat = (x.to(mean.scalar_type()) - per_channel(mean, x)).mul_(per_channel(s, x));
    std::vector<std::int64_t> others(1, 0);  // all dimensions but the channel's
    for (std::int64_t d = 2; d < x.dim(); ++d) others.push_back(d);
    const auto dbias = wide_dy.sum(others);
    const auto dweight = (wide_dy * xhat).sum(others);
    // dx needs the sums over all ranks; the gradients of weight and bias stay those of this rank.
    auto sums = at::stack({dbias, dweight});
    group->all_reduce_sum(sums);
    sums.div_(count);
    const auto dx =
        (wide_dy - per_channel(sums[0], x)).sub_(xhat * per_channel(sums[1], x)).mul_(per_channel(weight * s, x));
    return {dx.to(x.scalar_type()), dweight.to(weight.scalar_type()), dbias.to(weight.scalar_type()), {}};
  }
};

}  // namespace

BatchNormImpl::BatchNormImpl(std::int64_t channels, const BatchNormOptions& the_options)
    : features(channels), options(the_options) {
  BatchNormImpl::reset();
}

void BatchNormImpl::reset() {
  weight = register_parameter("weight", torch::ones({features}));
  bias = register_parameter("bias", torch::zeros({features}));
  running_mean = register_buffer("running_mean", torch::zeros({features}));
  running_var = register_buffer("running_var", torch::ones({features}));
  num_batches_tracked = register_buffer("num_batches_tracked", torch::tensor(0, torch::kLong));
}

void BatchNormImpl::pretty_print(std::ostream& stream) const {
  stream << "unlabel::ssl::BatchNorm(" << features << ", eps=" << options.eps << ", momentum=" << options.momentum
         << ", ranks=" << group->world_size() << ")";
}

at::Tensor BatchNormImpl::forward(const at::Tensor& x) {
  if (x.dim() < 2 || x.size(1) != features) {
    throw Error("BatchNorm over ", features, " channels got input of shape ", x.sizes());
  }
  if (is_training()) {
    // Several ranks: SynchronizedBatchNorm above; one rank: torch::batch_norm below.
    num_batches_tracked.add_(1);
    if (group->world_size() > 1) return SynchronizedBatchNorm::apply(x, weight, bias, this);
    check_count(static_cast<double>(x.numel()) / static_cast<double>(features), features);
  }
  return torch::batch_norm(x, weight, bias, running_mean, running_var, is_training(), options.momentum, options.eps,
                           at::globalContext().userEnabledCuDNN());
}

void set_batch_norm_group(torch::nn::Module& root, std::shared_ptr<const Group> group) {
  root.apply([&](torch::nn::Module& module) {
    if (auto* layer = module.as<BatchNormImpl>(); layer != nullptr && !layer->fixed_group) layer->group = group;
  });
}

void fix_batch_norm_group(torch::nn::Module& root, std::shared_ptr<const Group> group) {
  set_batch_norm_group(root, std::move(group));
  root.apply([](torch::nn::Module& module) {
    if (auto* layer = module.as<BatchNormImpl>()) layer->fixed_group = true;
  });
}

void average_running_statistics(torch::nn::Module& root, const Group& world) {
  const torch::NoGradGuard no_grad;
  // All statistics go into one flat tensor for one all-reduce.
  std::vector<at::Tensor> statistics, flat;
  std::vector<std::int64_t> sizes;
  root.apply([&](torch::nn::Module& module) {
    const auto* layer = module.as<BatchNormImpl>();
    if (layer == nullptr || layer->group->world_size() == world.world_size()) return;
    for (const auto& tensor : {layer->running_mean, layer->running_var}) {
      statistics.push_back(tensor);
      flat.push_back(tensor.flatten());
      sizes.push_back(tensor.numel());
    }
  });
  if (statistics.empty()) return;
  auto all = at::cat(flat);
  world.all_reduce_sum(all);
  at::_foreach_copy_(statistics, all.div_(world.world_size()).split_with_sizes(sizes));
}

RunningStatisticsGuard::RunningStatisticsGuard(torch::nn::Module& root) {
  const torch::NoGradGuard no_grad;
  for (const auto& module : root.modules())
    if (const auto* norm = module->as<BatchNormImpl>())
      for (const auto& buffer : {norm->running_mean, norm->running_var, norm->num_batches_tracked})
        kept_.emplace_back(buffer, buffer.clone());
}

RunningStatisticsGuard::~RunningStatisticsGuard() {
  const torch::NoGradGuard no_grad;
  for (const auto& [buffer, copy] : kept_) buffer.copy_(copy);
}

}  // namespace unlabel::ssl
