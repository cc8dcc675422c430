#pragma once

#include <unlabel/ssl/group.h>

#include <memory>

namespace unlabel::ssl {

/// Group::all_gather through which gradients flow: n x ... on each rank becomes (n * world) x ... on all, in rank order.
///
/// The gradient of a rank's rows is the sum of what all ranks send back for them (one all_reduce_sum in backward), so that when each rank
/// differentiates its own mean loss and the trainer averages parameters' gradients over ranks, the outcome is the gradient of
/// the mean loss over the world. The order of collectives in backward is that of the graph, as for BatchNorm. In a group of one
/// it returns `rows` itself. Has no second derivatives.
at::Tensor gather_with_gradient(const at::Tensor& rows, const std::shared_ptr<const Group>& group);

}  // namespace unlabel::ssl
