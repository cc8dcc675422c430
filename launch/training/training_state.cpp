#include <unlabel/launch/training/training_state.h>

#include <torch/types.h>

#include <utility>
#include <vector>

namespace unlabel::launch {

namespace {

/// The tensors whose names begin with `prefix`, which is removed from the names.
ssl::NamedTensors below(const ssl::NamedTensors& tensors, const std::string& prefix) {
  ssl::NamedTensors found;
  for (const auto& [name, tensor] : tensors)
    if (name.starts_with(prefix)) found.emplace_back(name.substr(prefix.size()), tensor);
  return found;
}

}  // namespace

std::int64_t TrainingState::bytes() const {
  // 1 MiB for training.json and headers.
  std::int64_t sum = (1 << 20) + trainable.per_sample_state_bytes();
  for (const auto& item : snapshot(0, {}).tensors) sum += static_cast<std::int64_t>(item.second.nbytes());
  return sum;
}

Checkpoint TrainingState::snapshot(std::int64_t iteration, const ssl::NamedTensors& per_sample_state,
                                   nlohmann::json training) const {
  Checkpoint checkpoint;
  checkpoint.iteration = iteration;
  const auto append = [&](const std::string& prefix, const ssl::NamedTensors& tensors) {
    for (const auto& [name, tensor] : tensors) checkpoint.tensors.emplace_back(prefix + name, tensor.detach());
  };
  append("method.", ssl::state_of(trainable));
  append("optimizer.", optimizer.state());
  append("scaler.", scaler.state());
  append("data.", per_sample_state);
  checkpoint.training = std::move(training);
  return checkpoint;
}

void TrainingState::load(const Checkpoint& checkpoint, const std::string& source) {
  ssl::load_state(trainable, below(checkpoint.tensors, "method."), {.strict = true, .source = source});
  optimizer.load_state(below(checkpoint.tensors, "optimizer."));
  scaler.load_state(below(checkpoint.tensors, "scaler."));
  trainable.load_per_sample_state(below(checkpoint.tensors, "data."));
}

bool TrainingState::finite() const {
  const torch::NoGradGuard no_grad;
  std::vector<at::Tensor> numbers;
  for (const auto& [name, tensor] : ssl::state_of(trainable))
    if (tensor.is_floating_point()) numbers.push_back(tensor);
  if (numbers.empty()) return true;
  // The maximum norm of a tensor is finite if and only if all its elements are.
  return at::stack(at::_foreach_norm(numbers, INFINITY)).to(at::kDouble).isfinite().all().item<bool>();
}

}  // namespace unlabel::launch
