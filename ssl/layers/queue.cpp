#include <unlabel/augment/error.h>
#include <unlabel/ssl/layers/queue.h>

#include <c10/core/GradMode.h>
#include <torch/types.h>

#include <algorithm>

namespace unlabel::ssl {

Queue::Queue(std::int64_t crops, std::int64_t length, std::int64_t dim, std::shared_ptr<const Group> group)
    : length_(length), group_(std::move(group)) {
  UNLABEL_INVARIANT(length_ > 0);
  embeddings_ = register_buffer("embeddings", torch::zeros({crops, length, dim}));
  filled_ = register_buffer("filled", torch::zeros({}, torch::kInt64));
}

bool Queue::full(bool step_start) const {
  // item() makes the host wait for the device; a true answer at the start of a step stays true, and is kept.
  if (was_full_) return true;
  const bool full = filled_.item<std::int64_t>() >= length_;
  was_full_ = full && step_start;
  return full;
}

void Queue::fill_with_random_directions() {
  const torch::NoGradGuard no_grad;
  embeddings_.normal_();
  embeddings_.div_(embeddings_.norm(2, -1, /*keepdim=*/true));
}

at::Tensor Queue::local() const {
  UNLABEL_INVARIANT(length_ % group_->world_size() == 0);
  const std::int64_t rows = length_ / group_->world_size();
  return embeddings_.narrow(1, group_->rank() * rows, rows);
}

void Queue::push(const at::Tensor& embeddings) {
  const torch::NoGradGuard no_grad;
  // all_gather concatenates along dimension 0, so the samples go there first: n x crops x dim.
  push_gathered(group_->all_gather(embeddings.detach().transpose(0, 1).contiguous()).transpose(0, 1));
}

void Queue::push_gathered(const at::Tensor& embeddings) {
  const torch::NoGradGuard no_grad;
  const at::Tensor all = embeddings.detach().nan_to_num(0.0, 0.0, 0.0);
  // Shift the rows that stay, through a copy because source and target overlap, then write the new ones in front.
  const std::int64_t pushed = std::min(all.size(1), length_), kept = length_ - pushed;
  embeddings_.narrow(1, pushed, kept).copy_(embeddings_.narrow(1, 0, kept).clone());
  embeddings_.narrow(1, 0, pushed).copy_(all.narrow(1, 0, pushed));
  filled_.add_(pushed).clamp_(0, length_);
}

}  // namespace unlabel::ssl
