#include <unlabel/augment/error.h>
#include <unlabel/ssl/gather.h>
#include <unlabel/ssl/group_holder.h>

#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

namespace unlabel::ssl {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Gather : torch::autograd::Function<Gather> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& rows,
                            const std::shared_ptr<const Group>& group) {
    context->saved_data["group"] = hold(group);
    context->saved_data["rows"] = rows.size(0);
    return group->all_gather(rows.contiguous());
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    if (at::GradMode::is_enabled()) throw Error("a gather over several ranks has no second derivatives");
    const auto group = held(context->saved_data["group"]);
    const auto rows = context->saved_data["rows"].toInt();
    auto sum = gradients[0].clone(at::MemoryFormat::Contiguous);
    group->all_reduce_sum(sum);
    return {sum.narrow(0, group->rank() * rows, rows), {}};
  }
};

}  // namespace

at::Tensor gather_with_gradient(const at::Tensor& rows, const std::shared_ptr<const Group>& group) {
  return group->world_size() == 1 ? rows : Gather::apply(rows, group);
}

}  // namespace unlabel::ssl
