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

void require_views(Method& method, const augment::MultiCrop& views) {
  method.check_views(views);
  for (int view = 0; view < views.views(); ++view)
    method.encoder().check_size(views.shape(view).height, views.shape(view).width);
}

}  // namespace unlabel::ssl
