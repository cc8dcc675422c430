#include <unlabel/ssl/layers/eval_mode.h>

namespace unlabel::ssl {

EvalModeGuard::EvalModeGuard(torch::nn::Module& module) : module_(module), module_was_training_(module.is_training()) {
  for (auto& child : module.modules(/*include_self=*/false)) was_training_.emplace_back(child, child->is_training());
  module.eval();
}

EvalModeGuard::~EvalModeGuard() {
  module_.train(module_was_training_);  // first, because it sets the children too
  for (auto& [child, was_training] : was_training_)
    if (child->is_training() != was_training) child->train(was_training);
}

}  // namespace unlabel::ssl
