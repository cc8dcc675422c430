#pragma once

#include <unlabel/ssl/group.h>

#include <torch/custom_class_detail.h>

#include <memory>
#include <utility>

namespace unlabel::ssl {

/// Lets autograd keep a group alive until backward: a capsule in AutogradContext::saved_data.
struct GroupHolder : torch::CustomClassHolder {
  explicit GroupHolder(std::shared_ptr<const Group> the_group) : group(std::move(the_group)) {}
  std::shared_ptr<const Group> group;
};

inline c10::IValue hold(std::shared_ptr<const Group> group) {
  return c10::IValue::make_capsule(c10::make_intrusive<GroupHolder>(std::move(group)));
}

inline std::shared_ptr<const Group> held(const c10::IValue& value) {
  return static_cast<const GroupHolder&>(*value.toCapsule()).group;
}

}  // namespace unlabel::ssl
