#pragma once

#include <unlabel/ssl/plan_builder.h>

#include <cstdint>
#include <string>
#include <vector>

namespace unlabel::ssl {

// The plans of the methods in this library: plan_METHOD.cpp.

using Warnings = std::vector<std::string>;

Plan plan_byol(const PlanInput& input);
Plan plan_deepcluster(const PlanInput& input);
Plan plan_deepcluster_v2(const PlanInput& input);
Plan plan_moco(const PlanInput& input);
Plan plan_simclr(const PlanInput& input);
Plan plan_swav(const PlanInput& input);

/// The method's own warnings, beside those that all share.
void warn_moco(const nlohmann::json& settings, std::int64_t images, Warnings& warnings);
void warn_swav(const nlohmann::json& settings, std::int64_t images, Warnings& warnings);

}  // namespace unlabel::ssl
