#pragma once

#include <unlabel/ssl/planning/plan_builder.h>

#include <cstdint>
#include <string>
#include <vector>

namespace unlabel::ssl {

// The plans of the methods in this library: plan_METHOD.cpp.

Plan plan_byol(const PlanInput& input);
Plan plan_deepcluster(const PlanInput& input);
Plan plan_deepcluster_v2(const PlanInput& input);
Plan plan_moco(const PlanInput& input);
Plan plan_simclr(const PlanInput& input);
Plan plan_swav(const PlanInput& input);

/// The method's own warnings, beside those that all share.
std::vector<std::string> warn_moco(const nlohmann::json& settings, std::int64_t images);
std::vector<std::string> warn_swav(const nlohmann::json& settings, std::int64_t images);

}  // namespace unlabel::ssl
