#pragma once

#include <unlabel/ssl/method.h>

#include <vector>

namespace unlabel::ssl {

/// Throws Error when `groups` are not what Method::parameter_groups() must give: each parameter that requires a gradient once, and no other
/// tensor. One that is left out would never learn.
void check_parameter_groups(const torch::nn::Module& module, const std::vector<ParameterGroup>& groups);

}  // namespace unlabel::ssl
