#pragma once

#include <unlabel/ssl/group.h>

#include <torch/custom_class_detail.h>

#include <memory>
#include <utility>

namespace unlabel::ssl {

/// Lets autograd keep a group alive until backward: a capsule in AutogradContext::saved_data.
struct GroupCapsule : torch::CustomClassHolder {
  explicit GroupCapsule(std::shared_ptr<const Group> the_group) : group(std::move(the_group)) {}
  std::shared_ptr<const Group> group;
};

inline c10::IValue wrap(std::shared_ptr<const Group> group) {
  return c10::IValue::make_capsule(c10::make_intrusive<GroupCapsule>(std::move(group)));
}

inline std::shared_ptr<const Group> unwrap(const c10::IValue& value) {
  return static_cast<const GroupCapsule&>(*value.toCapsule()).group;
}

}  // namespace unlabel::ssl
