#include <unlabel/ssl/layers/batch_norm.h>
#include <unlabel/ssl/layers/running_statistics.h>

#include <torch/types.h>

#include <vector>

namespace unlabel::ssl {

void average_running_statistics(torch::nn::Module& root, const Group& world) {
  const torch::NoGradGuard no_grad;
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

}  // namespace unlabel::ssl
