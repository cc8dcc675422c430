#pragma once

#include <unlabel/ssl/group.h>

#include <cstdint>
#include <memory>

namespace c10 {
struct IValue;
}

namespace unlabel::ssl {

/// Wraps a group as an IValue, which AutogradContext::saved_data can hold until backward; and the reverse.
c10::IValue group_to_ivalue(std::shared_ptr<const Group> group);
std::shared_ptr<const Group> group_from_ivalue(const c10::IValue& value);

/// A differentiable Group::all_gather: n x ... on each rank becomes (n * world_size) x ... on all, in rank order.
///
/// The gradient of a rank's rows is the sum of the gradients that all ranks compute for them (one all_reduce_sum in backward). So when each
/// rank differentiates the mean loss of its samples, and the training loop averages the parameters' gradients over ranks, the result is the
/// gradient of the mean loss over all ranks. Order of collectives in backward: see BatchNormImpl. In a group of one, `rows` itself is
/// returned. Second derivatives are not supported and throw Error.
at::Tensor gather_with_gradient(const at::Tensor& rows, const std::shared_ptr<const Group>& group);

/// Gathers rows that each rank collected step by step. `local`: (steps * r) x ..., with r rows for each step, the same r on all ranks. The
/// result, (steps * world_size * r) x ... on the CPU of rank 0 and undefined on the others, has all ranks' rows of the first step in rank
/// order, then those of the second step, and so on. Each all_gather takes as many steps as fit into `bytes` (at least one). Collective:
/// every rank must call it.
at::Tensor gather_steps(const at::Tensor& local, std::int64_t steps, const Group& group,
                        std::int64_t bytes = std::int64_t{1} << 28);

}  // namespace unlabel::ssl
