#include <unlabel/augment/error.h>
#include <unlabel/ssl/layers/gather.h>

#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class_detail.h>
#include <torch/types.h>

#include <algorithm>
#include <utility>

namespace unlabel::ssl {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Lets an IValue own a group.
struct GroupCapsule : torch::CustomClassHolder {
  explicit GroupCapsule(std::shared_ptr<const Group> the_group) : group(std::move(the_group)) {}
  std::shared_ptr<const Group> group;
};

struct Gather : torch::autograd::Function<Gather> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& rows,
                            const std::shared_ptr<const Group>& group) {
    context->saved_data["group"] = group_to_ivalue(group);
    context->saved_data["rows"] = rows.size(0);
    return group->all_gather(rows.contiguous());
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    if (at::GradMode::is_enabled()) throw Error("a gather over several ranks has no second derivatives");
    const auto group = group_from_ivalue(context->saved_data["group"]);
    const auto rows = context->saved_data["rows"].toInt();
    // Sum the gradients of all gathered rows over ranks, then keep those of this rank's rows.
    auto sum = gradients[0].clone(at::MemoryFormat::Contiguous);
    group->all_reduce_sum(sum);
    return {sum.narrow(0, group->rank() * rows, rows), {}};
  }
};

}  // namespace

c10::IValue group_to_ivalue(std::shared_ptr<const Group> group) {
  return c10::IValue::make_capsule(c10::make_intrusive<GroupCapsule>(std::move(group)));
}

std::shared_ptr<const Group> group_from_ivalue(const c10::IValue& value) {
  return static_cast<const GroupCapsule&>(*value.toCapsule()).group;
}

at::Tensor gather_with_gradient(const at::Tensor& rows, const std::shared_ptr<const Group>& group) {
  return group->world_size() == 1 ? rows : Gather::apply(rows, group);
}

at::Tensor gather_steps(const at::Tensor& local, std::int64_t steps, const Group& group, std::int64_t bytes) {
  const torch::NoGradGuard no_grad;
  UNLABEL_INVARIANT(steps > 0 && local.size(0) % steps == 0);
  const std::int64_t rows = local.size(0) / steps, world = group.world_size();
  // The number of steps in one all_gather, such that its result fits into `bytes`.
  const auto step_bytes = std::max<std::int64_t>(1, static_cast<std::int64_t>(local.nbytes()) / steps * world);
  const auto at_once = std::clamp<std::int64_t>(bytes / step_bytes, 1, steps);
  at::Tensor all, by_step;  // rank 0: the result, and its view of steps x world_size x rows x values
  if (group.rank() == 0) {
    auto sizes = local.sizes().vec();
    sizes[0] *= world;
    all = torch::empty(sizes, local.options().device(at::kCPU));
    by_step = all.view({steps, world, rows, -1});
  }
  for (std::int64_t step = 0; step < steps; step += at_once) {
    const auto count = std::min(at_once, steps - step);
    const auto part = group.all_gather(local.narrow(0, step * rows, count * rows).to(group.device()).contiguous());
    // From rank-major (as gathered) to step-major order.
    if (all.defined()) by_step.narrow(0, step, count).copy_(part.view({world, count, rows, -1}).transpose(0, 1));
  }
  return all;
}

}  // namespace unlabel::ssl
