#include <unlabel/augment/error.h>
#include <unlabel/ssl/losses/sinkhorn.h>

#include <c10/core/GradMode.h>
#include <torch/types.h>

namespace unlabel::ssl {

at::Tensor sinkhorn(const at::Tensor& scores, const SinkhornOptions& options, const Group& group) {
  if (!(options.epsilon > 0))
    throw UsageError("sinkhorn epsilon is ", options.epsilon, ": it must be above 0, such as 0.05");
  if (options.iterations < 0)
    throw UsageError("sinkhorn iterations is ", options.iterations, ": it must be at least 0");
  const torch::NoGradGuard no_grad;
  const auto type = at::promote_types(scores.scalar_type(), at::kFloat);
  at::Tensor logits = scores.detach().to(type).div(options.epsilon);
  if (options.iterations == 0) return at::softmax(logits, -1);
  for (int i = 0; i < options.iterations; ++i) {
    // Equal weight to each prototype. The factor 1 / K of the paper cancels in the next line.
    at::Tensor largest = logits.amax(-2, /*keepdim=*/true);
    group.all_reduce_max(largest);
    at::Tensor sum = (logits - largest).exp_().sum(-2, /*keepdim=*/true);
    group.all_reduce_sum(sum);
    // A sum of zero cannot be: the rank that holds the maximum adds 1.
    logits.sub_(largest).sub_(sum.log_());
    logits.sub_(logits.logsumexp(-1, /*keepdim=*/true));
  }
  return logits.exp_();
}

}  // namespace unlabel::ssl
