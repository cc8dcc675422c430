#include <unlabel/ssl/method.h>

#include <torch/types.h>

namespace unlabel::ssl {

std::vector<ParameterGroup> Method::parameter_groups() {
  ParameterGroup group;
  for (const auto& item : named_parameters()) {
    if (!item.value().requires_grad()) continue;
    group.names.push_back(item.key());
    group.parameters.push_back(item.value());
  }
  return {group};
}

}  // namespace unlabel::ssl
