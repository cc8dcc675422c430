#include <unlabel/augment/error.h>
#include <unlabel/data/io/files.h>
#include <unlabel/ssl/trainable.h>

#include <torch/types.h>

namespace unlabel::ssl {

std::vector<ParameterGroup> Trainable::parameter_groups() {
  ParameterGroup group;
  for (const auto& item : named_parameters()) {
    if (!item.value().requires_grad()) continue;
    group.names.push_back(item.key());
    group.parameters.push_back(item.value());
  }
  return {group};
}

std::uint64_t frozen_checksum(const std::vector<std::shared_ptr<torch::nn::Module>>& modules) {
  if (modules.empty()) return 0;
  data::Fingerprint sum;
  // For each tensor: a line of text with its name, type and shape, then a checksum of its bytes.
  const auto add = [&](const auto& items) {
    for (const auto& item : items) {
      const auto tensor = item.value().detach().cpu().contiguous();
      sum.add(concat(item.key(), " ", tensor.scalar_type(), " ", tensor.sizes()));
      sum.add(data::checksum_of({static_cast<const std::uint8_t*>(tensor.const_data_ptr()), tensor.nbytes()}));
    }
  };
  for (const auto& module : modules) {
    add(module->named_parameters());
    add(module->named_buffers());
  }
  return sum.value();
}

}  // namespace unlabel::ssl
