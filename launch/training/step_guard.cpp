#include <unlabel/launch/training/step_guard.h>

#include <c10/core/GradMode.h>
#include <torch/types.h>

namespace unlabel::launch {

namespace {

std::vector<at::Tensor> like(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> made;
  for (const auto& tensor : tensors) made.push_back(at::empty_like(tensor));
  return made;
}

void copy(const std::vector<at::Tensor>& to, const std::vector<at::Tensor>& from) {
  if (!to.empty()) at::_foreach_copy_(to, from, /*non_blocking=*/true);
}

/// Where `finite` is false, copies `saved` back; computed on the device, without branching on the host.
void restore_unless(const at::Tensor& finite, const std::vector<at::Tensor>& tensors,
                    const std::vector<at::Tensor>& saved) {
  for (std::size_t i = 0; i < tensors.size(); ++i)
    at::Tensor(tensors[i]).copy_(at::where(finite, tensors[i], saved[i]));
}

}  // namespace

StepGuard::StepGuard(torch::nn::Module& module, const ssl::Optimizer& optimizer, bool deferred)
    : deferred_(deferred), buffers_(module.buffers()), saved_buffers_(like(buffers_)) {
  if (!deferred_) return;
  for (const auto& parameter : module.parameters()) state_.push_back(parameter.detach());
  for (const auto& [name, tensor] : optimizer.state()) state_.push_back(tensor);
  saved_state_ = like(state_);
}

void StepGuard::before_forward() {
  const torch::NoGradGuard no_grad;
  copy(saved_buffers_, buffers_);
}

void StepGuard::restore_buffers() {
  const torch::NoGradGuard no_grad;
  copy(buffers_, saved_buffers_);
}

void StepGuard::update(const at::Tensor& finite, const std::function<void()>& update) {
  const torch::NoGradGuard no_grad;
  if (!deferred_) {
    if (finite.item<bool>()) {
      update();
    } else {
      restore_buffers();
    }
    return;
  }
  // Deferred: save everything, update, then undo on the device if needed.
  copy(saved_state_, state_);
  update();
  restore_unless(finite, state_, saved_state_);
  restore_unless(finite, buffers_, saved_buffers_);
}

}  // namespace unlabel::launch
