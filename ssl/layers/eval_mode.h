#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <utility>
#include <vector>

namespace unlabel::ssl {

/// Holds a module in eval mode while it lives; then puts every submodule back into the mode that it was in.
class EvalMode {
 public:
  explicit EvalMode(torch::nn::Module& module);
  ~EvalMode();
  EvalMode(const EvalMode&) = delete;
  EvalMode& operator=(const EvalMode&) = delete;

 private:
  std::vector<std::pair<std::shared_ptr<torch::nn::Module>, bool>> was_training_;
  torch::nn::Module& module_;
  bool module_was_training_;
};

}  // namespace unlabel::ssl
