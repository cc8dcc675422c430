#pragma once

#include <unlabel/ssl/planning/plan_builder.h>

namespace unlabel::ssl {

// The plans of the library's methods (methods/plan_METHOD.cpp), for methods.cpp.

MethodPlan byol_plan();
MethodPlan deepcluster_plan();
MethodPlan deepcluster_v2_plan();
MethodPlan moco_plan();
MethodPlan simclr_plan();
MethodPlan swav_plan();

}  // namespace unlabel::ssl
