#include <unlabel/augment/error.h>
#include <unlabel/ssl/optim/parameter_groups.h>

#include <torch/types.h>

#include <set>

namespace unlabel::ssl {

void check_parameter_groups(const torch::nn::Module& module, const std::vector<ParameterGroup>& groups) {
  std::set<const c10::TensorImpl*> missing;
  for (const auto& parameter : module.parameters())
    if (parameter.requires_grad()) missing.insert(parameter.unsafeGetTensorImpl());
  for (const auto& group : groups)
    for (std::size_t i = 0; i < group.parameters.size(); ++i)
      if (missing.erase(group.parameters[i].unsafeGetTensorImpl()) == 0)
        throw Error("parameter_groups() gives ", i < group.names.size() ? group.names[i] : "a tensor without a name",
                    ", which is in another group too, or no parameter that requires gradients; give each once");
  for (const auto& item : module.named_parameters())
    if (missing.contains(item.value().unsafeGetTensorImpl()))
      throw Error("parameter_groups() leaves out ", item.key(),
                  missing.size() > 1 ? concat(" and ", missing.size() - 1, " more") : "",
                  ", which would never learn; put each into a group, or freeze it (requires_grad)");
}

}  // namespace unlabel::ssl
