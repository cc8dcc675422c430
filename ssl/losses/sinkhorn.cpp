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
    // Columns: equal weight for each prototype, over the samples of all ranks. The paper's factor 1 / K cancels in the row normalization.
    at::Tensor largest = logits.amax(-2, /*keepdim=*/true);
    group.all_reduce_max(largest);
    at::Tensor sum = (logits - largest).exp_().sum(-2, /*keepdim=*/true);
    group.all_reduce_sum(sum);
    // The sum is at least 1, because the rank that holds the maximum adds exp(0); so its logarithm is finite.
    logits.sub_(largest).sub_(sum.log_());
    // Rows: each sample has weight 1.
    logits.sub_(logits.logsumexp(-1, /*keepdim=*/true));
  }
  return logits.exp_();
}

}  // namespace unlabel::ssl
