#pragma once

#include <unlabel/ssl/group.h>

#include <cstdint>
#include <memory>

namespace c10 {
struct IValue;
}

namespace unlabel::ssl {

/// A group in a capsule, which autograd keeps alive until backward in AutogradContext::saved_data; and the group in one.
c10::IValue wrap(std::shared_ptr<const Group> group);
std::shared_ptr<const Group> unwrap(const c10::IValue& value);

/// Group::all_gather through which gradients flow: n x ... on each rank becomes (n * world) x ... on all, in rank order.
///
/// The gradient of a rank's rows is the sum of what all ranks send back for them (one all_reduce_sum in backward), so that when each rank
/// differentiates its own mean loss and the trainer averages parameters' gradients over ranks, the outcome is the gradient of
/// the mean loss over the world. The order of collectives in backward is that of the graph, as for BatchNorm. In a group of one
/// it returns `rows` itself. Has no second derivatives.
at::Tensor gather_with_gradient(const at::Tensor& rows, const std::shared_ptr<const Group>& group);

/// What the ranks keep of an epoch, step by step, as one: this rank's `local` has as many rows for each of `steps` steps, and the outcome,
/// on the CPU of rank 0 and undefined on the others, has all ranks' rows of the first step in rank order, then those of the second, and
/// so on. As few all_gathers as their results fit into `bytes` each (or one step's rows, when these are more). Every rank must call it.
at::Tensor gather_steps(const at::Tensor& local, std::int64_t steps, const Group& group,
                        std::int64_t bytes = std::int64_t{1} << 28);

}  // namespace unlabel::ssl
